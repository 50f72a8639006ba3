/** The nodes of adapters beyond `W + B·A`: against their definitions in f64, and that neither tiles nor threads change a byte. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UnsupportedError } from '../src/core/errors.js'
import type { Delta } from '../src/core/delta.js'
import { rowsOf, transposed, wholeMatrix } from '../src/core/matrix-view.js'
import type { RowProgram } from '../src/core/row-program.js'
import { mergedProgram, type WeightedDelta } from '../src/merge/variants.js'
import { assertGives, at, made, matrix, outcome, times, type Matrix } from './support/matrices.js'
import { memoryTensor } from './support/plans.js'
import { packed } from './support/straight-math.js'

const ROWS = 12
const COLS = 6

const length = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
const column = (values: Matrix, j: number): number[] => values.map((row) => row[j] ?? 0)

const W = made('W', [ROWS, COLS], 1)
const A = made('A', [2, COLS], 2)
const B = made('B', [ROWS, 2], 3)
const magnitudeRows = made('mr', [ROWS], 4)
const magnitudeCols = made('mc', [COLS], 5)
const left = made('left', [3, 2], 6)
const right = made('right', [4, 3], 7)
const tokens = made('tokens', [2, COLS], 8)
const block = made('block', [3, ROWS], 9)
const factors = made('factors', [2], 10)
const expertA = made('expertA', [6, COLS], 11) // 3 experts of rank 2, one after the other
const expertB = made('expertB', [4, 6], 12) // rank after rank

const common = { target: 'W', module: 'm', rank: 2, scale: 0.75 }
const pair = { B: wholeMatrix(B.tensor), A: wholeMatrix(A.tensor) }
const sum = (delta: (i: number, j: number) => number): Matrix => matrix(ROWS, COLS, (i, j) => at(W.values, i, j) + delta(i, j))
const BA = times(B.values, A.values)
const V = sum((i, j) => 0.75 * at(BA, i, j))
const expertDelta = (e: number): Matrix =>
  matrix(4, COLS, (i, j) => [0, 1].reduce((total, k) => total + at(expertB.values, i, k * 3 + e) * at(expertA.values, e * 2 + k, j), 0))

const CASES: readonly { readonly what: string; readonly delta: Delta; readonly expected: Matrix }[] = [
  {
    what: 'LoRA on some slices of rows',
    delta: {
      variant: 'grouped',
      ...common,
      along: 'rows',
      parts: [{ zeros: 3 }, { ...pair, B: { ...pair.B, rows: 5, offset: 2 } }, { zeros: 4 }],
    },
    expected: sum((i, j) => (i >= 3 && i < 8 ? 0.75 * at(BA, i - 2, j) : 0)),
  },
  {
    what: 'LoRA on some slices of columns',
    delta: {
      variant: 'grouped',
      ...common,
      along: 'columns',
      parts: [{ ...pair, A: { ...pair.A, cols: 2 } }, { zeros: 1 }, { ...pair, A: { ...pair.A, cols: 3, offset: 1 } }],
    },
    expected: sum((i, j) => (j < 2 ? 0.75 * at(BA, i, j) : j > 2 ? 0.75 * at(BA, i, j - 2) : 0)),
  },
  {
    what: 'LoRA whose factors have factors (AdaLoRA, VeRA)',
    delta: { variant: 'lora', ...common, ...pair, rowsOfA: rowsOf(factors.tensor), rowsOfB: rowsOf(magnitudeRows.tensor) },
    expected: sum(
      (i, j) => 0.75 * [0, 1].reduce((s, k) => s + at(B.values, i, k) * at(magnitudeRows.values, i, 0) * at(factors.values, k, 0) * at(A.values, k, j), 0),
    ),
  },
  {
    what: 'LoRA on a matrix stored transposed',
    delta: {
      variant: 'lora',
      ...common,
      B: transposed(wholeMatrix(made('A2', [2, ROWS], 21).tensor)),
      A: transposed(wholeMatrix(made('B2', [COLS, 2], 22).tensor)),
    },
    expected: (() => {
      const delta = times(made('B2', [COLS, 2], 22).values, made('A2', [2, ROWS], 21).values)
      return sum((i, j) => 0.75 * at(delta, j, i))
    })(),
  },
  { what: 'LoHa', delta: { variant: 'loha', ...common, left: pair, right: pair }, expected: sum((i, j) => 0.75 * at(BA, i, j) ** 2) },
  {
    what: 'LoKr',
    delta: { variant: 'lokr', ...common, left: wholeMatrix(left.tensor), right: [wholeMatrix(right.tensor)] },
    expected: sum((i, j) => 0.75 * at(left.values, Math.floor(i / 4), Math.floor(j / 3)) * at(right.values, i % 4, j % 3)),
  },
  { what: 'HiRA', delta: { variant: 'hira', ...common, ...pair }, expected: matrix(ROWS, COLS, (i, j) => at(W.values, i, j) * (1 + 0.75 * at(BA, i, j))) },
  {
    what: 'MiSS',
    delta: { variant: 'miss', ...common, scale: 1, value: transposed(wholeMatrix(block.tensor)) },
    expected: sum((i, j) => at(block.values, j % 3, i)),
  },
  {
    what: 'LoRA on fused experts',
    delta: {
      variant: 'experts',
      ...common,
      parts: [0, 1, 2].map((e) => ({
        A: { ...wholeMatrix(expertA.tensor), rows: 2, offset: e * 2 * COLS },
        B: { ...wholeMatrix(expertB.tensor), cols: 2, offset: e, colStride: 3 },
      })),
    },
    expected: sum((i, j) => 0.75 * at(expertDelta(Math.floor(i / 4)), i % 4, j)),
  },
  {
    what: 'DoRA by rows',
    delta: { variant: 'dora', ...common, ...pair, magnitude: magnitudeRows.tensor, along: 'rows', features: ROWS },
    expected: matrix(ROWS, COLS, (i, j) => (at(magnitudeRows.values, i, 0) / length(V[i] ?? [])) * at(V, i, j)),
  },
  {
    what: 'DoRA by columns',
    delta: { variant: 'dora', ...common, ...pair, magnitude: magnitudeCols.tensor, along: 'columns', features: COLS },
    expected: matrix(ROWS, COLS, (i, j) => (at(magnitudeCols.values, j, 0) / length(column(V, j))) * at(V, i, j)),
  },
  {
    what: 'DoRA of features that span several rows (convolutions)',
    delta: { variant: 'dora', ...common, ...pair, magnitude: made('m3', [4], 30).tensor, along: 'rows', features: 4 },
    expected: matrix(ROWS, COLS, (i, j) => {
      const feature = Math.floor(i / 3)
      return (at(made('m3', [4], 30).values, feature, 0) / length(V.slice(feature * 3, feature * 3 + 3).flat())) * at(V, i, j)
    }),
  },
  {
    what: 'IA3 of outputs',
    delta: { variant: 'rescale', ...common, by: rowsOf(magnitudeRows.tensor) },
    expected: matrix(ROWS, COLS, (i, j) => at(W.values, i, j) * at(magnitudeRows.values, i, 0)),
  },
  {
    what: 'IA3 of inputs',
    delta: { variant: 'rescale', ...common, by: transposed(rowsOf(magnitudeCols.tensor)) },
    expected: matrix(ROWS, COLS, (i, j) => at(W.values, i, j) * at(magnitudeCols.values, j, 0)),
  },
  {
    what: 'trained tokens',
    delta: { variant: 'tokens', ...common, ids: [7, 2], values: tokens.tensor },
    expected: matrix(ROWS, COLS, (i, j) => (i === 7 ? at(tokens.values, 0, j) : i === 2 ? at(tokens.values, 1, j) : at(W.values, i, j))),
  },
  {
    what: 'a whole tensor',
    delta: { variant: 'replace', ...common, tensor: made('new', [ROWS, COLS], 40).tensor },
    expected: made('new', [ROWS, COLS], 40).values,
  },
  {
    what: 'a whole tensor with more rows',
    delta: { variant: 'replace', ...common, tensor: made('more', [ROWS + 5, COLS], 41).tensor },
    expected: made('more', [ROWS + 5, COLS], 41).values,
  },
]

describe('variants of adapters', () => {
  for (const { what, delta, expected } of CASES) {
    it(`gives ${what} by definition, whatever tile and threads`, async (t) => {
      const program = mergedProgram({ op: 'read', tensor: W.tensor }, [{ delta, weight: 1, adapter: 0 }])
      await assertGives(t, program, expected)
    })
  }

  const lora = (adapter: number, weight: number): WeightedDelta => ({ delta: { variant: 'lora', ...common, ...pair }, weight, adapter })
  const dora = (adapter: number, weight: number): WeightedDelta => ({
    delta: { variant: 'dora', ...common, ...pair, magnitude: magnitudeRows.tensor, along: 'rows', features: ROWS },
    weight,
    adapter,
  })
  const merge = (...deltas: readonly WeightedDelta[]): RowProgram => mergedProgram({ op: 'read', tensor: W.tensor }, deltas)

  it('are refused with a weight, or beside another adapter, where they are no sum', () => {
    assert.throws(
      () => merge(dora(0, 0.5)),
      (error) => error instanceof UnsupportedError && /cannot have weight 0\.5/.test(error.message),
    )
    assert.throws(
      () => merge(dora(0, 1), lora(1, 1)),
      (error) => error instanceof UnsupportedError && /several adapters/.test(error.message),
    )
    assert.equal(merge(lora(0, 0.5), lora(1, -1)).op, 'add')
  })

  it('give an element that becomes infinite its place', async (t) => {
    const huge = memoryTensor('huge', 'F32', [ROWS], packed('F32', new Float64Array(ROWS).fill(3e38)))
    const program = mergedProgram({ op: 'read', tensor: memoryTensor('big', 'F32', [ROWS, COLS], packed('F32', new Float64Array(ROWS * COLS).fill(1e10))) }, [
      { delta: { variant: 'rescale', ...common, by: rowsOf(huge) }, weight: 1, adapter: 0 },
    ])
    await assert.rejects(outcome(t, program, 1_000_000, 1), /element 0 is 10000000000 and becomes Infinity/)
  })
})
