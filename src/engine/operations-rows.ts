/** What the nodes mean that only choose rows of their input: in which order, which of them. */
import { permutedRow, programShape, slicedRow, type RowProgram } from '../core/row-program.js'
import type { Bench } from './operations-adapters.js'

type Node<O extends RowProgram['op']> = Extract<RowProgram, { op: O }>

export function evaluatePermuteRows(bench: Bench, { input, shape, order }: Node<'permuteRows'>, first: number, into: Float32Array): void {
  mappedRows(bench, input, (row) => permutedRow(shape, order, row), first, into)
}

export function evaluateSliceRows(bench: Bench, program: Node<'sliceRows'>, first: number, into: Float32Array): void {
  mappedRows(bench, program.input, (row) => slicedRow(program, row), first, into)
}

/** Row i of the output is row `rowOf(i)` of the input. */
function mappedRows(bench: Bench, input: RowProgram, rowOf: (row: number) => number, first: number, into: Float32Array): void {
  const { cols } = programShape(input)
  const count = into.length / cols
  const wanted = Array.from({ length: count }, (_, i) => rowOf(first + i))
  const low = wanted.reduce((a, b) => Math.min(a, b), Infinity)
  const span = wanted.reduce((a, b) => Math.max(a, b), 0) - low + 1
  // never a row that is not wanted: its norms would be counted here and again in its own tile
  if (span > count) return runsOfRows(bench, input, wanted, cols, into)
  bench.borrowFloats(span * cols, (all) => {
    bench.rows(input, low, all)
    wanted.forEach((row, i) => into.set(all.subarray((row - low) * cols, (row - low + 1) * cols), i * cols))
  })
}

/** Rows here and there: those that follow one another are read at once. */
function runsOfRows(bench: Bench, input: RowProgram, wanted: readonly number[], cols: number, into: Float32Array): void {
  for (let start = 0, end = 0; start < wanted.length; start = end) {
    const row = wanted[start]!
    for (end = start + 1; wanted[end] === row + end - start;) end++
    bench.rows(input, row, into.subarray(start * cols, end * cols))
  }
}
