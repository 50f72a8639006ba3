/**
 * The rarer kinds of adapters against their definitions, written out in f64 without a thought to rows or tiles; and that neither tiles nor
 * threads change a byte. The definitions are those of the papers as PEFT has them; golden-merge.test.ts compares with PEFT itself.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { CayleyForm } from '../src/core/adapter-nodes.js'
import type { Delta } from '../src/core/delta.js'
import { MismatchError } from '../src/core/errors.js'
import { asMatrix, rowsOf, transposed, wholeMatrix } from '../src/core/matrix-view.js'
import { mergedProgram } from '../src/merge/variants.js'
import {
  assertGives,
  at,
  given,
  identity,
  integers,
  made,
  matrix,
  outcome,
  plus,
  reshaped,
  scaledBy,
  solve,
  times,
  turned,
  type Matrix,
} from './support/matrices.js'

const [OUT, IN] = [12, 8]
const W = made('W', [OUT, IN], 1)
const common = { target: 'W', module: 'm', rank: 2, scale: 0.75 }
const merge = (delta: Delta, base = W): ReturnType<typeof mergedProgram> =>
  mergedProgram({ op: 'read', tensor: base.tensor }, [{ delta, weight: 1, adapter: 0 }], (name) => ({
    op: 'read',
    tensor: name === 'W' ? W.tensor : base.tensor,
  }))

/** Skew-symmetric blocks of 4 from their upper triangles. */
const skew = (row: readonly number[]): Matrix => {
  let next = 0
  const upper = matrix(4, 4, (i, j) => (j > i ? (row[next++] ?? 0) : 0))
  return plus(upper, turned(upper), -1)
}
const exact = (Q: Matrix): Matrix => turned(solve(turned(plus(identity(4), Q)), turned(plus(identity(4), Q, -1))))
const power = (Q: Matrix, n: number): Matrix => (n === 0 ? identity(4) : times(power(Q, n - 1), Q))
const series = (Q: Matrix, factors: readonly number[]): Matrix =>
  factors.reduce<Matrix>((sum, factor, n) => plus(sum, power(Q, n), factor), scaledBy(identity(4), 0))
const norm = (Q: Matrix): number => Math.sqrt(Q.flat().reduce((sum, value) => sum + value * value, 0))
const blockDiagonal = (blocks: readonly Matrix[]): Matrix => {
  const size = blocks[0]?.length ?? 1
  return matrix(size * blocks.length, size * blocks.length, (i, j) =>
    Math.floor(i / size) === Math.floor(j / size) ? at(blocks[Math.floor(i / size)] ?? [], i % size, j % size) : 0,
  )
}
const rotated = (R: Matrix): Matrix => times(W.values, turned(R))

const triangles = made('triangles', [2, 6], 2, 0.05)
const Q = triangles.values.map(skew)
const rotate = (form: CayleyForm, blocks = triangles): Delta => ({
  variant: 'rotate',
  ...common,
  rotations: [{ blocks: wholeMatrix(blocks.tensor), size: 4, form }],
})
const shortened = (one: Matrix, limit: number): Matrix => (norm(one) <= limit ? one : scaledBy(one, limit / norm(one)))

const butterfly = made('butterfly', [3, 4, 2, 2], 3, 0.6) // three stages of four blocks of two
const mirrors = made('mirrors', [3, IN], 4)
const kernels = made('kernels', [3, 2, 4], 5)
const bank = made('bank', [7, 4], 6)
const ofA = made('logitsA', [2, 2, 7], 7)
const ofB = made('logitsB', [3, 2, 7], 8)

const mixed = (logits: readonly number[], top: number): readonly number[] => {
  const best = [...logits.keys()].sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0)).slice(0, top)
  const parts = best.map((id) => Math.exp(logits[id] ?? 0))
  const sum = parts.reduce((total, part) => total + part, 0)
  return [0, 1, 2, 3].map((col) => best.reduce((total, id, i) => total + ((parts[i] ?? 0) / sum) * at(bank.values, id, col), 0))
}
const vblora = (row: (side: 'A' | 'B', i: number) => readonly number[]): Matrix => {
  const A = matrix(2, IN, (rank, col) => row('A', rank * 2 + Math.floor(col / 4))[col % 4] ?? 0)
  const B = matrix(OUT, 2, (out, rank) => row('B', Math.floor(out / 4) * 2 + rank)[out % 4] ?? 0)
  return plus(W.values, times(B, A), 0.75)
}

const randA = made('randA', [2, 1, 10], 11)
const randB = made('randB', [15, 5, 2], 12)
const lambda = made('lambda', [2, 4], 13)
const gamma = made('gamma', [4, IN], 14)
const scaledBases = matrix(8, IN, (k, j) => at(lambda.values, Math.floor(k / 4), k % 4) * at(gamma.values, k % 4, j) * at(randA.values, Math.floor(k / 4), j))
const bases = matrix(OUT, 8, (i, k) => at(randB.values, i, k))

const P = made('P', [OUT, 3], 15)
const R = made('R', [3, IN], 16)
const relu = (one: Matrix): Matrix => one.map((row) => row.map((value) => Math.max(value, 0)))

/** Gram-Schmidt, with the signs that Householder's mirrors give: LAPACK's diagonal of R is opposite in sign to the element it starts from. */
function householder(A: Matrix): Matrix {
  let rest: Matrix = A
  let product: Matrix = identity(A.length)
  for (let j = 0; j < (A[0]?.length ?? 0); j++) {
    const x = rest.map((row, i) => (i < j ? 0 : (row[j] ?? 0)))
    const length = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0))
    const v = x.map((value, i) => (i === j ? value + Math.sign(value) * length : value))
    const squares = v.reduce((sum, value) => sum + value * value, 0)
    const H = matrix(A.length, A.length, (a, b) => (a === b ? 1 : 0) - (2 * (v[a] ?? 0) * (v[b] ?? 0)) / squares)
    rest = times(H, rest)
    product = times(product, H)
  }
  return product.map((row) => row.slice(0, A[0]?.length))
}

const peanutA = made('peanutA', [3, OUT], 17)
const peanutB = made('peanutB', [OUT, 3], 18)
const layers = [20, 21, 22, 23].map((seed) => made(`layer${seed}`, [3, 3], seed))
const net = (): Matrix => {
  const layer = (i: number, x: Matrix): Matrix => relu(times(layers[i]?.values ?? [], x))
  const x0 = relu(times(peanutA.values, W.values))
  const x1 = layer(0, x0)
  const x2 = layer(1, x1)
  return plus(layer(3, plus(layer(2, x2), x1)), x0)
}

const core = made('core', [2, 2, 3], 24) // 2 x 2 x kernel of 3
const outFactor = made('outFactor', [2, 4], 25)
const inFactor = made('inFactor', [2, 2], 26)
const kernel = made('kernel', [4, 2, 3], 27)
const tucker = matrix(4, 6, (o, c) =>
  [0, 1].reduce(
    (sum, i) =>
      sum +
      [0, 1].reduce((inner, j) => inner + at(outFactor.values, i, o) * at(inFactor.values, j, Math.floor(c / 3)) * at(core.values, i, j * 3 + (c % 3)), 0),
    0,
  ),
)

const low = { B: made('B', [OUT, 2], 28), A: made('A', [2, IN], 29) }
const pair = { B: wholeMatrix(low.B.tensor), A: wholeMatrix(low.A.tensor) }
const BA = times(low.B.values, low.A.values)
const column = made('column', [OUT, 1], 30)
const single = made('single', [1], 31)

const batBlocks = made('bat', [3, 4, 4], 32)
const angles = made('angles', [OUT / 2], 33)
const lengths = made('lengths', [OUT / 2], 34)
const sparseValues = made('sparse', [4], 35)
const tinyV = made('tinyV', [5], 36)
const tinyP = made('tinyP', [5, 2, 2], 37)

const randLora = {
  variant: 'randlora',
  ...common,
  B: { tensor: randB.tensor, rows: OUT, cols: 8, offset: 0, rowStride: 10, colStride: 1 },
  A: { tensor: randA.tensor, rows: 2, cols: IN, offset: 0, rowStride: 10, colStride: 1 },
  lambda: wholeMatrix(lambda.tensor),
  gamma: wholeMatrix(gamma.tensor),
} as const

const CASES: readonly { readonly what: string; readonly delta: Delta; readonly expected: Matrix; readonly base?: typeof W }[] = [
  { what: 'OFT by the exact formula of Cayley', delta: rotate({ holds: 'skew' }), expected: rotated(blockDiagonal(Q.map(exact))) },
  {
    what: 'OFT by a series of five terms, as PEFT has them since 0.18',
    delta: rotate({ holds: 'skew', series: { terms: 5, halvesLast: true } }),
    expected: rotated(blockDiagonal(Q.map((one) => series(one, [1, 2, 2, 2, 1])))),
  },
  {
    what: 'OFT by a series of five terms, as PEFT had them before',
    delta: rotate({ holds: 'skew', series: { terms: 5, halvesLast: false } }),
    expected: rotated(blockDiagonal(Q.map((one) => series(one, [1, 2, 2, 2, 2])))),
  },
  {
    what: 'OFT by a series of three terms, which PEFT ends with the third power',
    delta: rotate({ holds: 'skew', series: { terms: 3, halvesLast: true } }),
    expected: rotated(blockDiagonal(Q.map((one) => series(one, [1, 2, 2, 1])))),
  },
  {
    what: 'constrained OFT',
    delta: rotate({ holds: 'skew', limit: 0.1 }),
    expected: rotated(blockDiagonal(Q.map((one) => exact(shortened(one, 0.1))))),
  },
  {
    what: 'OFT with one block for all, turned the other way round as on embeddings',
    delta: rotate({ holds: 'skew', inverse: true }, given('one', [1, 6], triangles.values[0] ?? [])),
    expected: times(W.values, blockDiagonal([exact(Q[0] ?? []), exact(Q[0] ?? [])])),
  },
  {
    what: 'BOFT of three stages',
    delta: {
      variant: 'rotate',
      ...common,
      rotations: [0, 1, 2].map((stage) => ({
        blocks: { ...asMatrix(butterfly.tensor, 12, 4), rows: 4, offset: stage * 16 },
        size: 2,
        form: { holds: 'full' as const },
        columns: { shape: [4 / 2 ** stage, 2, 2 ** stage, 1], order: [0, 2, 1, 3] },
      })),
      factors: rowsOf(column.tensor),
    },
    expected: (() => {
      const stageMatrix = (stage: number): Matrix => {
        const blocks = [0, 1, 2, 3].map((block) => {
          const value = (i: number, j: number): number => butterfly.values[stage]?.[block * 4 + i * 2 + j] ?? 0
          const q = 0.5 * (value(0, 1) - value(1, 0))
          const scale = 1 / (1 + q * q)
          return [
            [(1 - q * q) * scale, -2 * q * scale],
            [2 * q * scale, (1 - q * q) * scale],
          ]
        })
        // groups of 2^(stage + 1) columns: those at even places, then those at odd ones
        const group = 2 ** (stage + 1)
        const order = Array.from({ length: IN }, (_, k) => {
          const within = k % group
          return k - within + (within < group / 2 ? 2 * within : 2 * (within - group / 2) + 1)
        })
        const permutation = matrix(IN, IN, (k, j) => (order[k] === j ? 1 : 0))
        return times(times(permutation, blockDiagonal(blocks)), turned(permutation))
      }
      const product = times(stageMatrix(2), times(stageMatrix(1), stageMatrix(0)))
      return rotated(product).map((row, i) => row.map((value) => value * at(column.values, i, 0)))
    })(),
  },
  {
    what: 'HRA',
    delta: { variant: 'reflect', ...common, vectors: wholeMatrix(mirrors.tensor), orthogonal: false },
    expected: mirrors.values.reduce<Matrix>((before, u) => {
      const squares = u.reduce((sum, value) => sum + value * value, 0)
      return times(
        before,
        matrix(IN, IN, (i, j) => (i === j ? 1 : 0) - (2 * (u[i] ?? 0) * (u[j] ?? 0)) / squares),
      )
    }, W.values),
  },
  {
    what: 'HRA with orthogonal mirrors',
    delta: { variant: 'reflect', ...common, vectors: wholeMatrix(mirrors.tensor), orthogonal: true },
    expected: (() => {
      const basis = householder(turned(mirrors.values)) // the same space, which is all that counts
      return plus(W.values, times(times(W.values, basis), turned(basis)), -2)
    })(),
  },
  {
    what: 'RoAd with shared values',
    delta: {
      variant: 'road',
      ...common,
      group: 4,
      first: { angles: asMatrix(angles.tensor, 3, 2), lengths: asMatrix(lengths.tensor, 3, 2) },
      second: { angles: asMatrix(angles.tensor, 3, 2), lengths: asMatrix(lengths.tensor, 3, 2) },
      shared: true,
    },
    expected: matrix(OUT, IN, (i, j) => {
      const [group, place] = [Math.floor(i / 4), i % 4]
      const value = (which: typeof angles): number => at(which.values, group * 2 + (place % 2), 0)
      const other = at(W.values, place < 2 ? i + 2 : i - 2, j)
      const [a, s] = [Math.fround(value(lengths) * Math.fround(Math.cos(value(angles)))), Math.fround(value(lengths) * Math.fround(Math.sin(value(angles))))]
      return a * at(W.values, i, j) + (place < 2 ? -s : s) * other
    }),
  },
  {
    what: 'SHiRA',
    delta: { variant: 'sparse', ...common, positions: integers('pairs', 'I32', [2, 4], [11, 0, 3, 3, 7, 1, 0, 0]), values: rowsOf(sparseValues.tensor) },
    expected: [
      [11, 7],
      [0, 1],
      [3, 0],
      [3, 0],
    ].reduce<Matrix>(
      (before, [i, j], n) =>
        plus(
          before,
          matrix(OUT, IN, (a, b) => (a === i && b === j ? 0.75 * at(sparseValues.values, n, 0) : 0)),
        ),
      W.values,
    ),
  },
  {
    what: 'Super-Tuning, whose positions run through the rows',
    delta: { variant: 'sparse', ...common, positions: integers('flat', 'I64', [4], [95, 0, 17, 8]), values: rowsOf(sparseValues.tensor) },
    expected: [95, 0, 17, 8].reduce<Matrix>(
      (before, position, n) =>
        plus(
          before,
          matrix(OUT, IN, (a, b) => (a * IN + b === position ? 0.75 * at(sparseValues.values, n, 0) : 0)),
        ),
      W.values,
    ),
  },
  {
    what: 'C3A',
    delta: { variant: 'circulant', ...common, scale: 1 / IN, kernels: asMatrix(kernels.tensor, 3, 8), size: 4 },
    expected: matrix(OUT, IN, (i, j) => {
      const block = kernels.values[Math.floor(i / 4)]?.slice(Math.floor(j / 4) * 4, Math.floor(j / 4) * 4 + 4) ?? []
      return at(W.values, i, j) + (block[((j % 4) - (i % 4) + 4) % 4] ?? 0) / IN
    }),
  },
  {
    what: 'RandLoRA',
    delta: {
      ...randLora,
      turned: false,
    },
    expected: plus(W.values, times(bases, scaledBases), 0.75),
  },
  {
    what: 'RandLoRA where inputs are the longer side',
    base: made('wide', [IN, OUT], 40),
    delta: {
      ...randLora,
      turned: true,
    },
    expected: plus(made('wide', [IN, OUT], 40).values, times(turned(scaledBases), turned(bases)), 0.75),
  },
  {
    what: 'VB-LoRA from logits',
    delta: {
      variant: 'vblora',
      ...common,
      bank: wholeMatrix(bank.tensor),
      A: { by: 'logits', logits: ofA.tensor, top: 3 },
      B: { by: 'logits', logits: ofB.tensor, top: 3 },
      pieces: { A: 2, B: 3 },
    },
    expected: vblora((side, i) => mixed(reshaped((side === 'A' ? ofA : ofB).values, 7)[i] ?? [], 3)),
  },
  {
    what: 'VB-LoRA from stored weights, the last of which is what is left',
    delta: {
      variant: 'vblora',
      ...common,
      bank: wholeMatrix(bank.tensor),
      A: { by: 'weights', weights: made('wA', [2, 2, 1], 41).tensor, ids: integers('iA', 'U8', [2, 2, 2], [0, 6, 3, 1, 5, 5, 2, 4]) },
      B: { by: 'weights', weights: made('wB', [3, 2, 1], 42).tensor, ids: integers('iB', 'I16', [3, 2, 2], [1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5]) },
      pieces: { A: 2, B: 3 },
    },
    expected: vblora((side, i) => {
      const weight = (side === 'A' ? made('wA', [2, 2, 1], 41) : made('wB', [3, 2, 1], 42)).values.flat()[i] ?? 0
      const ids = (side === 'A' ? [0, 6, 3, 1, 5, 5, 2, 4] : [1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5]).slice(i * 2, i * 2 + 2)
      return [0, 1, 2, 3].map((col) => weight * at(bank.values, ids[0] ?? 0, col) + (1 - weight) * at(bank.values, ids[1] ?? 0, col))
    }),
  },
  {
    what: 'GraLoRA and BD-LoRA: low-rank blocks on a grid',
    delta: {
      variant: 'grid',
      ...common,
      blocks: [0, 1].map((i) =>
        [0, 1].map((j) => ({
          B: { ...wholeMatrix(low.B.tensor), rows: 6, cols: 1, offset: i * 12 + j },
          A: { ...wholeMatrix(low.A.tensor), rows: 1, cols: 4, offset: j * 4 + (i === 0 ? 0 : IN) },
        })),
      ),
    },
    expected: plus(
      W.values,
      matrix(OUT, IN, (o, c) => at(low.B.values, o, Math.floor(c / 4)) * at(low.A.values, Math.floor(o / 6), c)),
      0.75,
    ),
  },
  {
    what: 'TinyLoRA',
    delta: { variant: 'tinylora', ...common, ...pair, v: asMatrix(tinyV.tensor, 1, 5), P: asMatrix(tinyP.tensor, 5, 4) },
    expected: plus(
      W.values,
      times(
        times(
          low.B.values,
          matrix(2, 2, (i, j) => tinyP.values.reduce((sum, row, n) => sum + at(tinyV.values, n, 0) * (row[i * 2 + j] ?? 0), 0)),
        ),
        low.A.values,
      ),
      0.75,
    ),
  },
  {
    what: 'GLoRA of two products',
    delta: { variant: 'glora', ...common, times: pair, plus: pair },
    expected: matrix(OUT, IN, (i, j) => at(W.values, i, j) + 0.75 * (at(W.values, i, j) * at(BA, i, j) + at(BA, i, j))),
  },
  {
    what: 'GLoRA of a column and a single value',
    delta: { variant: 'glora', ...common, times: wholeMatrix(column.tensor), plus: asMatrix(single.tensor, 1, 1) },
    expected: matrix(OUT, IN, (i, j) => at(W.values, i, j) + 0.75 * (at(W.values, i, j) * at(column.values, i, 0) + at(single.values, 0, 0))),
  },
  {
    what: 'GLoRA of a bias, which takes the weight in',
    base: made('bias', [OUT], 43),
    delta: {
      variant: 'glora',
      ...common,
      times: rowsOf(column.tensor),
      plus: asMatrix(single.tensor, 1, 1),
      product: { weight: 'W', by: rowsOf(made('C', [IN], 44).tensor) },
    },
    expected: matrix(OUT, 1, (i) => {
      const b = at(made('bias', [OUT], 43).values, i, 0)
      return b + 0.75 * (b * at(column.values, i, 0) + at(single.values, 0, 0) + at(times(W.values, made('C', [IN], 44).values), i, 0))
    }),
  },
  {
    what: 'DEFT',
    delta: { variant: 'deft', ...common, scale: 1, P: wholeMatrix(P.tensor), R: wholeMatrix(R.tensor), injection: 1.5, basis: 'relu' },
    expected: plus(W.values, times(P.values, plus(scaledBy(R.values, 1.5), times(turned(relu(P.values)), W.values), -1))),
  },
  {
    what: 'DEFT with an orthonormal basis',
    delta: { variant: 'deft', ...common, scale: 1, P: wholeMatrix(P.tensor), R: wholeMatrix(R.tensor), injection: 1, basis: 'qr' },
    expected: (() => {
      const basis = householder(P.values)
      return plus(W.values, times(basis, plus(R.values, times(turned(basis), W.values), -1)))
    })(),
  },
  {
    what: 'PaRa',
    delta: { variant: 'deft', ...common, scale: 1, P: wholeMatrix(P.tensor), R: undefined, injection: 1, basis: 'relu' },
    expected: plus(W.values, times(P.values, times(turned(relu(P.values)), W.values)), -1),
  },
  {
    what: 'PEANuT of two layers each way',
    delta: {
      variant: 'peanut',
      ...common,
      B: wholeMatrix(peanutB.tensor),
      A: wholeMatrix(peanutA.tensor),
      encoders: layers.slice(0, 2).map(({ tensor }) => wholeMatrix(tensor)),
      decoders: layers.slice(2).map(({ tensor }) => wholeMatrix(tensor)),
      activation: 'relu',
    },
    expected: plus(W.values, times(peanutB.values, net()), 0.75),
  },
  {
    what: 'MiSS whose blocks do not fill the columns, repeated along the rows ("mini")',
    delta: { variant: 'miss', ...common, scale: 1, value: transposed(wholeMatrix(made('miss', [3, 4], 45).tensor)) },
    expected: matrix(OUT, IN, (i, j) => at(W.values, i, j) + at(made('miss', [3, 4], 45).values, j % 3, i % 4)),
  },
  {
    what: 'MiSS in its form "bat"',
    delta: {
      variant: 'bat',
      ...common,
      scale: 1,
      blocks: [0, 1, 2].map((i) => ({ tensor: batBlocks.tensor, rows: 4, cols: 4, offset: i * 16, rowStride: 4, colStride: 1 })),
    },
    expected: matrix(OUT, IN, (i, j) => {
      const block = (a: number, b: number): number => batBlocks.values[Math.floor(i / 4)]?.[a * 4 + b] ?? 0
      const piece = Math.floor(j / 4) * 4
      return at(W.values, i, j) + block(i % 4, j % 4) + [0, 1, 2, 3].reduce((sum, k) => sum + at(W.values, i, piece + k) * block(k, j % 4), 0)
    }),
  },
  {
    what: 'LoHa of kernels with cores',
    base: kernel,
    delta: {
      variant: 'loha',
      ...common,
      left: { core: cores(), out: wholeMatrix(outFactor.tensor), inputs: wholeMatrix(inFactor.tensor) },
      right: { core: cores(), out: wholeMatrix(outFactor.tensor), inputs: wholeMatrix(inFactor.tensor) },
    },
    expected: plus(
      kernel.values,
      tucker.map((row) => row.map((value) => value * value)),
      0.75,
    ),
  },
  {
    what: 'LoKr of several right factors, one under the other',
    delta: {
      variant: 'lokr',
      ...common,
      left: wholeMatrix(made('left', [2, 2], 46).tensor),
      right: [47, 48].map((seed) => wholeMatrix(made(`right${seed}`, [3, 4], seed).tensor)),
    },
    expected: matrix(OUT, IN, (i, j) => {
      const right = made('right', [3, 4], i < 6 ? 47 : 48).values
      return at(W.values, i, j) + 0.75 * at(made('left', [2, 2], 46).values, Math.floor((i % 6) / 3), Math.floor(j / 4)) * at(right, (i % 6) % 3, j % 4)
    }),
  },
  {
    what: 'factors of kernels, each for several columns (IA3 of convolutions)',
    delta: {
      variant: 'rescale',
      ...common,
      by: asMatrix(made('channels', [4], 49).tensor, 2, 2),
      spread: { rows: 6, cols: 4 },
    },
    expected: matrix(OUT, IN, (i, j) => at(W.values, i, j) * at(made('channels', [4], 49).values, Math.floor(i / 6) * 2 + Math.floor(j / 4), 0)),
  },
]

function cores(): { tensor: typeof core.tensor; rows: number; cols: number; offset: number; rowStride: number; colStride: number }[] {
  return [0, 1].map((i) => ({ tensor: core.tensor, rows: 2, cols: 3, offset: i * 6, rowStride: 3, colStride: 1 }))
}

describe('rarer variants of adapters', () => {
  for (const { what, delta, expected, base } of CASES) {
    it(`gives ${what} by definition, whatever tile and threads`, async (t) => {
      await assertGives(t, merge(delta, base), expected)
    })
  }

  for (const { what, delta, expected, base } of CASES.filter(({ base, delta: { variant } }) => base === undefined && variant !== 'rescale')) {
    it(`gives ${what} where the base is stored transposed`, async (t) => {
      assert.equal(base, undefined)
      const stored = given('stored', [IN, OUT], turned(W.values).flat())
      const seenAs = { rows: OUT, cols: IN, transposed: true }
      await assertGives(t, merge({ ...delta, seenAs }, stored), turned(expected))
    })
  }

  for (const [what, shape] of [
    ['tall', [OUT, IN]],
    ['wide', [IN, OUT]],
    ['square', [IN, IN]],
  ] as const) {
    it(`takes the smallest singular components from a ${what} matrix (KaSA)`, async (t) => {
      const known = withSingularValues(shape, 50, [5, 4, 3, 2, 1, 0.5, 0.25, 0.125])
      const kept = withSingularValues(shape, 50, [5, 4, 3, 2, 1, 0, 0, 0])
      const base = given('known', shape, known.flat())
      await assertGives(t, merge({ variant: 'truncate', ...common, rank: 3 }, base), kept)
    })
  }

  it('refuses positions outside of the base, naming the element', async (t) => {
    const positions = integers('flat', 'I32', [4], [0, 1, OUT * IN, 3])
    const program = merge({ variant: 'sparse', ...common, positions, values: rowsOf(sparseValues.tensor) })
    await assert.rejects(
      outcome(t, program, 1000, 1),
      (error) => error instanceof MismatchError && /element 2 is 96, but there are 96 elements/.test(error.message),
    )
  })

  it('refuses a mirror without a direction, whose result is no number', async (t) => {
    const program = merge({ variant: 'reflect', ...common, vectors: wholeMatrix(given('zero', [1, IN], new Float64Array(IN)).tensor), orthogonal: false })
    await assert.rejects(outcome(t, program, 1000, 1), /becomes NaN when the adapters are merged/)
  })
})

/** U·diag(values)·Vᵀ with seeded orthonormal U and V. */
function withSingularValues([height, width]: readonly [number, number], seed: number, values: readonly number[]): Matrix {
  const [U, V] = [householder(made('u', [height, 8], seed).values), householder(made('v', [width, 8], seed + 1).values)]
  return times(
    matrix(height, 8, (i, k) => at(U, i, k) * (values[k] ?? 0)),
    turned(V),
  )
}
