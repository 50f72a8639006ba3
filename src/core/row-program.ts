/**
 * Row programs: small trees of plain data that can give rows [r0, r1) of a tensor as f32. They are the one mechanism
 * behind merging and converting: nearly every transform that converters need is a map of rows, and nearly every adapter
 * changes each row by itself, so tiles of full rows stream through them in bounded memory.
 *
 * A node says which rows of its children it needs; src/engine evaluates it, src/merge and src/architectures build it.
 * Rows and columns are those of core/shape.ts: a tensor of one dimension is one column.
 */
import { rowsAtOnce, storedParts, type Blocks, type PackedCodes } from './packed-codes.js'
import { elementCount, rowShape, type RowShape } from './shape.js'
import type { TensorInfo } from './tensor-info.js'
import type { ElementFunction } from './activations.js'
import type { AdapterNode } from './adapter-nodes.js'
import type { MatrixView } from './matrix-view.js'

export type RowProgram =
  /** The stored tensor, widened to f32 bit by bit. */
  | { readonly op: 'read'; readonly tensor: TensorInfo }
  /** Numbers that the plan computed itself (rope factors), row major. */
  | { readonly op: 'values'; readonly rows: number; readonly cols: number; readonly values: readonly number[] }
  /** `scale * (B · A)`: B (rows x rank), A (rank x cols). By the law of the sum, docs/numerics.md. */
  | { readonly op: 'lowRank'; readonly B: MatrixView; readonly A: MatrixView; readonly scale: number }
  /** `base + (delta0 + delta1 + …)`: the deltas are added up first, in this order. */
  | { readonly op: 'add'; readonly base: RowProgram; readonly deltas: readonly RowProgram[] }
  /**
   * The rows of `input` in another order: seen as an array of `shape` (its product is the number of rows), transposed
   * to `order`, flattened again. Rope un-permutation is shape [heads, 2, half], order [0, 2, 1].
   */
  | { readonly op: 'permuteRows'; readonly input: RowProgram; readonly shape: readonly number[]; readonly order: readonly number[] }
  /**
   * Some rows of `input`: seen as an array of `shape` (its product is the number of rows), of every dimension `sizes[i]` indices from `starts[i]` on;
   * flattened again.
   */
  | {
      readonly op: 'sliceRows'
      readonly input: RowProgram
      readonly shape: readonly number[]
      readonly starts: readonly number[]
      readonly sizes: readonly number[]
    }
  /** Elements of a stored tensor through a view, widened bit by bit: a part of it, or its transpose. */
  | { readonly op: 'gather'; readonly view: MatrixView }
  /** Rows for columns; all of the input is computed once and kept. Ask {@link transpose} in core/row-maps.ts, which seldom needs it. */
  | { readonly op: 'transpose'; readonly input: RowProgram }
  /** One f32 everywhere. */
  | { readonly op: 'fill'; readonly rows: number; readonly cols: number; readonly value: number }
  /** `input + value`, an f32. */
  | { readonly op: 'addConstant'; readonly input: RowProgram; readonly value: number }
  /** A function of each element (src/engine/operations-values.ts). */
  | { readonly op: 'apply'; readonly input: RowProgram; readonly function: ElementFunction }
  /** Codes of a quantized tensor, each as the number that it stands for. */
  | { readonly op: 'codes'; readonly codes: PackedCodes }
  /** `input * grid`, `input / grid` or `input - grid`, where the grid has one number for each block of the input: scales and zero points. */
  | ({ readonly op: 'blockwise'; readonly by: 'times' | 'over' | 'minus'; readonly input: RowProgram; readonly grid: RowProgram } & Blocks)
  /** `input` rounded to a narrow type and widened again: what a 16-bit file between two steps does to values. */
  | { readonly op: 'round'; readonly input: RowProgram; readonly type: 'f16' | 'bf16' }
  /** A factor, widened to f32; NaN and infinity are refused, which no trained adapter has. */
  | { readonly op: 'view'; readonly view: MatrixView }
  /**
   * `scale * (B · A)` of computed factors, by the law of the sum; A is computed once and kept. `fused`: each product is added without being rounded
   * first, as CPUs with fused multiply-add do, for sums whose peers' last bits are seen (RandLoRA's scale is 160).
   */
  | { readonly op: 'product'; readonly B: RowProgram; readonly A: RowProgram; readonly scale: number; readonly fused?: boolean }
  /** `left * right`, element by element; `right` may be one row, or one column, that holds for all. */
  | { readonly op: 'multiply'; readonly left: RowProgram; readonly right: RowProgram }
  /** `factor * input`; the factor is an f32. */
  | { readonly op: 'scale'; readonly input: RowProgram; readonly factor: number }
  /** The Kronecker product: element (i·r + k, j·c + l) is `left(i, j) * right(k, l)`, right being (r x c). Both are computed once and kept. */
  | { readonly op: 'kron'; readonly left: RowProgram; readonly right: RowProgram }
  /** The same elements in rows of another length. */
  | { readonly op: 'reshape'; readonly input: RowProgram; readonly rows: number; readonly cols: number }
  /** The rows of all parts, one after the other. */
  | { readonly op: 'stack'; readonly parts: readonly RowProgram[] }
  /** The rows of all parts side by side; all have as many. */
  | { readonly op: 'beside'; readonly parts: readonly RowProgram[] }
  /** Row `ids[i]` is row i of `values`; the others are the input's. */
  | { readonly op: 'replaceRows'; readonly input: RowProgram; readonly ids: readonly number[]; readonly values: RowProgram }
  /**
   * Every row made as long (Euclidean norm) as `lengths` (rows x 1) says: the weight normalisation of DoRA. Shorter ones than `least` count as that
   * long; `plus` is added to what they are long.
   */
  | { readonly op: 'rescaleRows'; readonly input: RowProgram; readonly lengths: RowProgram; readonly least?: number; readonly plus?: number }
  /** The same for columns, or for each `span` of them, `lengths` being (1 x cols / span). Prepared by one pass over all of the input, row by row. */
  | {
      readonly op: 'rescaleColumns'
      readonly input: RowProgram
      readonly lengths: RowProgram
      readonly least?: number
      readonly plus?: number
      readonly span?: number
    }
  /** `changed`, where that is no sum of `base` and something; what has changed is measured, and must be finite where `base` is. */
  | { readonly op: 'become'; readonly base: RowProgram; readonly changed: RowProgram }
  | AdapterNode

/** What a kind of node is, apart from its arithmetic (src/engine/evaluate.ts): a new node is a row here and one there. */
interface Operation<P> {
  readonly shape: (program: P) => RowShape
  /** The programs that it takes rows from. */
  readonly inputs: (program: P) => readonly RowProgram[]
  /** The stored tensors that it reads itself. */
  readonly reads: (program: P) => readonly TensorInfo[]
  /** Rows that it likes to give at once, so that each input row is read once. */
  readonly group: (program: P) => number
}

const OPERATIONS: { readonly [O in RowProgram['op']]: Operation<Extract<RowProgram, { op: O }>> } = {
  read: { shape: ({ tensor }) => rowShape(tensor.shape), inputs: () => [], reads: ({ tensor }) => [tensor], group: () => 1 },
  values: { shape: ({ rows, cols }) => ({ rows, cols }), inputs: () => [], reads: () => [], group: () => 1 },
  lowRank: { shape: ({ B, A }) => ({ rows: B.rows, cols: A.cols }), inputs: () => [], reads: ({ B, A }) => [B.tensor, A.tensor], group: () => 1 },
  add: { shape: ({ base }) => programShape(base), inputs: ({ base, deltas }) => [base, ...deltas], reads: () => [], group: () => 1 },
  permuteRows: { shape: ({ input }) => programShape(input), inputs: ({ input }) => [input], reads: () => [], group: permutedGroup },
  sliceRows: {
    ...sameShape(),
    shape: ({ input, sizes }) => ({ rows: elementCount(sizes), cols: programShape(input).cols }),
  },
  gather: { shape: ({ view: { rows, cols } }) => ({ rows, cols }), inputs: () => [], reads: ({ view }) => [view.tensor], group: () => 1 },
  transpose: { ...sameShape(), shape: ({ input }) => ({ rows: programShape(input).cols, cols: programShape(input).rows }) },
  fill: { shape: ({ rows, cols }) => ({ rows, cols }), inputs: () => [], reads: () => [], group: () => 1 },
  addConstant: sameShape(),
  apply: sameShape(),
  codes: {
    shape: ({ codes: { rows, cols } }) => ({ rows, cols }),
    inputs: () => [],
    reads: ({ codes }) => storedParts(codes),
    group: ({ codes }) => rowsAtOnce(codes),
  },
  blockwise: {
    ...sameShape(),
    inputs: ({ input, grid }) => [input, grid],
    reads: ({ groups }) => (groups === undefined ? [] : [groups]),
  },
  round: sameShape(),
  view: { shape: ({ view: { rows, cols } }) => ({ rows, cols }), inputs: () => [], reads: ({ view }) => [view.tensor], group: () => 1 },
  product: {
    shape: ({ B, A }) => ({ rows: programShape(B).rows, cols: programShape(A).cols }),
    inputs: ({ B, A }) => [B, A],
    reads: () => [],
    group: () => 1,
  },
  multiply: { shape: ({ left }) => programShape(left), inputs: ({ left, right }) => [left, right], reads: () => [], group: () => 1 },
  scale: sameShape(),
  kron: { shape: kroneckerShape, inputs: ({ left, right }) => [left, right], reads: () => [], group: () => 1 },
  reshape: { shape: ({ rows, cols }) => ({ rows, cols }), inputs: ({ input }) => [input], reads: () => [], group: () => 1 },
  stack: {
    shape: ({ parts: [first, ...rest] }) => {
      const { rows, cols } = first === undefined ? { rows: 0, cols: 0 } : programShape(first)
      return { rows: rest.reduce((sum, part) => sum + programShape(part).rows, rows), cols }
    },
    inputs: ({ parts }) => parts,
    reads: () => [],
    group: () => 1,
  },
  replaceRows: { ...sameShape(), inputs: ({ input, values }) => [input, values] },
  rescaleRows: { ...sameShape(), inputs: ({ input, lengths }) => [input, lengths] },
  rescaleColumns: { ...sameShape(), inputs: ({ input, lengths }) => [input, lengths] },
  become: { shape: ({ changed }) => programShape(changed), inputs: ({ base, changed }) => [base, changed], reads: () => [], group: () => 1 },
  beside: {
    shape: ({ parts }) => ({
      rows: parts[0] === undefined ? 0 : programShape(parts[0]).rows,
      cols: parts.reduce((sum, part) => sum + programShape(part).cols, 0),
    }),
    inputs: ({ parts }) => parts,
    reads: () => [],
    group: () => 1,
  },
  rotateColumns: { ...sameShape(), inputs: ({ input, blocks }) => [input, blocks] },
  rotateRows: { ...sameShape(), inputs: ({ input, blocks }) => [input, blocks], group: ({ blocks }) => programShape(blocks).cols },
  cayley: {
    ...sameShape(),
    shape: ({ input, size }) => ({ rows: programShape(input).rows * size, cols: size }),
    inputs: ({ input, together }) => (together === undefined ? [input] : [input, together.blocks]),
  },
  reflectColumns: { ...sameShape(), inputs: ({ input, vectors }) => [input, vectors] },
  rotatePairs: { ...sameShape(), inputs: ({ input, first, second }) => [input, first, second], group: ({ group }) => group },
  circulant: {
    ...sameShape(),
    shape: ({ input, size }) => ({ rows: programShape(input).rows * size, cols: programShape(input).cols }),
    group: ({ size }) => size,
  },
  mixture: {
    shape: ({ bank, choice }) => ({ rows: rowShape((choice.by === 'logits' ? choice.logits : choice.ids).shape).rows, cols: programShape(bank).cols }),
    inputs: ({ bank }) => [bank],
    reads: ({ choice }) => (choice.by === 'logits' ? [choice.logits] : [choice.weights, choice.ids]),
    group: () => 1,
  },
  scatter: { shape: ({ rows, cols }) => ({ rows, cols }), inputs: ({ values }) => [values], reads: ({ positions }) => [positions], group: () => 1 },
  transposedProduct: {
    shape: ({ left, right }) => ({ rows: programShape(left).cols, cols: programShape(right).cols }),
    inputs: ({ left, right }) => [left, right],
    reads: () => [],
    group: () => 1,
  },
  orthonormal: sameShape(),
  dropSmallest: sameShape(),
  prunedSum: {
    shape: ({ parts: [first] }) => programShape(first.input),
    inputs: ({ parts }) => parts.map(({ input }) => input),
    reads: () => [],
    group: () => 1,
  },
  truncatedProduct: {
    shape: ({ B, A }) => ({ rows: programShape(B).rows, cols: programShape(A).cols }),
    inputs: ({ B, A }) => [B, A],
    reads: () => [],
    group: () => 1,
  },
}

/** Of a node that changes only the values of its input. */
function sameShape(): Operation<{ readonly input: RowProgram }> {
  return { shape: ({ input }) => programShape(input), inputs: ({ input }) => [input], reads: () => [], group: () => 1 }
}

function kroneckerShape({ left, right }: Extract<RowProgram, { op: 'kron' }>): RowShape {
  const [outer, inner] = [programShape(left), programShape(right)]
  return { rows: outer.rows * inner.rows, cols: outer.cols * inner.cols }
}

function operationOf<P extends RowProgram>(program: P): Operation<P> {
  return OPERATIONS[program.op] as unknown as Operation<P> // the table's type says that each row takes its own kind of node
}

/** Rows and columns of what a program gives. */
export function programShape(program: RowProgram): RowShape {
  return operationOf(program).shape(program)
}

/** Number of rows that a program likes to give at once (a head, for a rope permutation): tiles of its multiples read each input row once. */
export function rowGranularity(program: RowProgram): number {
  const { group, inputs } = operationOf(program)
  return inputs(program).reduce((rows, input) => leastCommonMultiple(rows, rowGranularity(input)), group(program))
}

/** Every stored tensor that a program reads, in reading order, each once. */
export function tensorsOf(program: RowProgram): TensorInfo[] {
  const { inputs, reads } = operationOf(program)
  return [...new Set([...reads(program), ...inputs(program).flatMap(tensorsOf)])]
}

/** Rows that are mixed with each other: all dimensions from the first one that moves. */
function permutedGroup({ shape, order }: Extract<RowProgram, { op: 'permuteRows' }>): number {
  const firstMoved = order.findIndex((axis, i) => axis !== i)
  return firstMoved < 0 ? 1 : elementCount(shape.slice(firstMoved))
}

/** The program with its elements in rows as `shape` has them. */
export function inRows(program: RowProgram, { rows, cols }: RowShape): RowProgram {
  const own = programShape(program)
  return own.rows === rows && own.cols === cols ? program : { op: 'reshape', input: program, rows, cols }
}

function leastCommonMultiple(a: number, b: number): number {
  let [x, y] = [a, b]
  while (y > 0) [x, y] = [y, x % y]
  return (a / x) * b
}
