/** What the nodes mean that only choose rows of their input: in which order, which of them. */
import { permutedRow, slicedRow } from '../core/row-order.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import type { Bench } from './operations-adapters.js'

type Node<O extends RowProgram['op']> = Extract<RowProgram, { op: O }>

export function evaluatePermuteRows(bench: Bench, { input, shape, order }: Node<'permuteRows'>, first: number, into: Float32Array): void {
  mappedRows(bench, input, (row) => permutedRow(shape, order, row), first, into)
}

export function evaluateSliceRows(bench: Bench, program: Node<'sliceRows'>, first: number, into: Float32Array): void {
  mappedRows(bench, program.input, (row) => slicedRow(program, row), first, into)
}

/** Row i of the output is row `rowOf(i)` of the input. Each is computed once, and none that is not wanted: norms count what is computed. */
function mappedRows(bench: Bench, input: RowProgram, rowOf: (row: number) => number, first: number, into: Float32Array): void {
  const { cols } = programShape(input)
  const wanted = Array.from({ length: into.length / cols }, (_, i) => rowOf(first + i))
  if (wanted.every((row, i) => i === 0 || row > wanted[i - 1]!)) return runsOfRows(bench, input, wanted, cols, into)
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]!)
  bench.borrowFloats(into.length, (sorted) => {
    runsOfRows(
      bench,
      input,
      order.map((i) => wanted[i]!),
      cols,
      sorted,
    )
    order.forEach((i, at) => into.set(sorted.subarray(at * cols, (at + 1) * cols), i * cols))
  })
}

/** Rows in ascending order: those that follow one another are read at once. */
function runsOfRows(bench: Bench, input: RowProgram, wanted: readonly number[], cols: number, into: Float32Array): void {
  for (let start = 0, end = 0; start < wanted.length; start = end) {
    const row = wanted[start]!
    for (end = start + 1; wanted[end] === row + end - start;) end++
    bench.rows(input, row, into.subarray(start * cols, end * cols))
  }
}
