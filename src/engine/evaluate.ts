/**
 * Evaluates row programs: rows [first, first + count) of an output tensor as f32, in memory bounded by the tile. The one
 * place that knows what each node of core/row-program.ts means.
 */
import { isReadableType, type EncodedType, type ReadableType } from '../core/arithmetic.js'
import { bytesOf, floatsOf } from '../core/bytes.js'
import { InternalError } from '../core/errors.js'
import type { MatrixView } from '../core/matrix-view.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import { elementCount } from '../core/shape.js'
import { storedBytes } from '../core/stored-types.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'
import type { Arena } from '../kernels/arena.js'
import type { PackedProduct } from '../kernels/factors.js'
import type { Losses, NarrowType, Norms, TileArithmetic } from '../kernels/kernel-arithmetic.js'
import type { Workshop } from './arithmetic.js'
import { gatherRows, KEPT_OF_STACK_BYTES, packedFactor, viewRows, type Desk } from './factor-rows.js'
import { integersOf } from './integers.js'
import { giveBack, grewTooLarge, takeNonFinite } from './non-finite.js'
import { evaluateBlockwise, evaluateCodes, type PackedBench } from './operations-packed.js'
import { operationOf } from './operations.js'
import type { TileReader } from './tile-reader.js'

const F32_INFINITY = 0x7f80_0000

type LowRank = Extract<RowProgram, { op: 'lowRank' }>

/** Evaluates programs for one worker. Not reentrant: its buffers lie on the stack of the worker's arena. */
export class Evaluator implements PackedBench, Desk {
  /** What merging did since `beginTile`. */
  readonly norms: Norms = { delta: 0, weight: 0 }
  readonly losses: Losses = { changed: 0, lost: 0 }
  private narrow: NarrowType | undefined
  readonly arithmetic: TileArithmetic
  readonly reader: TileReader
  private readonly arena: Arena
  private readonly factors = new Map<MatrixView | RowProgram, Float32Array>()
  private readonly preparations = new Map<RowProgram, object>()
  private keptBytes = 0
  private readonly entered = new Set<RowProgram>()
  private enteredMore = false

  constructor(reader: TileReader, { arithmetic, arena }: Workshop) {
    this.reader = reader
    this.arithmetic = arithmetic
    this.arena = arena
  }

  /** Drops the factors of the tensor before: call when a new output tensor begins. */
  forgetFactors(): void {
    this.entered.clear()
    this.forgetKept()
  }

  /** Sets what is measured to zero, and drops the factors of parts of a stack that have been passed. @param type what the rows will be encoded as */
  beginTile(type: EncodedType): void {
    if (this.enteredMore && this.keptBytes > KEPT_OF_STACK_BYTES) this.forgetKept()
    this.enteredMore = false
    this.norms.delta = this.norms.weight = 0
    this.losses.changed = this.losses.lost = 0
    this.narrow = type === 'f16' || type === 'bf16' ? type : undefined
  }

  /** Writes rows [first, first + into.length / cols) of `program` into `into`, which the caller owns. */
  rows(program: RowProgram, first: number, into: Float32Array): void {
    switch (program.op) {
      case 'read':
        return this.read(program.tensor, first * programShape(program).cols, into)
      case 'values':
        return into.set(program.values.slice(first * program.cols, first * program.cols + into.length))
      case 'lowRank':
        return this.lowRank(program, first, into)
      case 'add':
        return void this.add(program, first, into)
      case 'gather':
        return gatherRows(this, program.view, first, into)
      case 'fill':
        return void into.fill(program.value)
      case 'codes':
        return evaluateCodes(this, program, first, into)
      case 'blockwise':
        return evaluateBlockwise(this, program, first, into)
      case 'round':
        return this.round(program, first, into)
      case 'view':
        return viewRows(this, program.view, first, into)
      default:
        return operationOf(program)(this, program, first, into)
    }
  }

  enter(part: RowProgram): void {
    if (this.entered.has(part)) return
    this.entered.add(part)
    this.enteredMore = true
  }

  /** The same. @returns the bits of the largest magnitude; those of NaN and infinity are above all others */
  rowsAndLargest(program: RowProgram, first: number, into: Float32Array): number {
    let known: number | undefined
    if (program.op === 'add') known = this.add(program, first, into)
    else this.rows(program, first, into)
    return known ?? this.arithmetic.largestMagnitude(into)
  }

  kept(key: MatrixView | RowProgram, count: number, fill: (into: Float32Array) => void): Float32Array {
    const known = this.factors.get(key)
    if (known !== undefined) return known
    const values = floatsOf(this.arena.keep(count * 4))
    this.keptBytes += count * 4
    this.unmeasured(() => fill(values))
    this.factors.set(key, values)
    return values
  }

  unmeasured(run: () => void): void {
    const [norms, losses] = [{ ...this.norms }, { ...this.losses }]
    run()
    Object.assign(this.norms, norms)
    Object.assign(this.losses, losses)
  }

  addMeasured(into: Float32Array, delta: Float32Array, cols: number): void {
    if (this.narrow !== undefined) this.arithmetic.countLost(this.narrow, into, delta, this.losses)
    this.arithmetic.addDelta(into, delta, cols, this.norms)
  }

  bytes({ source, offset }: TensorInfo, into: Uint8Array, position: number): void {
    this.reader.read(source, into, offset + position)
  }

  prepared<T extends object>(key: RowProgram, make: () => T): T {
    const known = this.preparations.get(key)
    if (known !== undefined) return known as T // each node makes one kind of thing
    this.unmeasured(() => this.preparations.set(key, make()))
    return this.preparations.get(key) as T
  }

  stored(tensor: TensorInfo): Float32Array {
    const values = new Float32Array(elementCount(tensor.shape))
    this.read(tensor, 0, values)
    return values
  }

  integers(tensor: TensorInfo): Float64Array {
    return integersOf(tensor, (bytes) => this.reader.read(tensor.source, bytes, tensor.offset))
  }

  private forgetKept(): void {
    this.factors.clear()
    this.preparations.clear()
    this.arena.forget()
    this.keptBytes = 0
  }

  private round({ input, type }: Extract<RowProgram, { op: 'round' }>, first: number, into: Float32Array): void {
    this.rows(input, first, into)
    this.borrow(into.length * 2, (narrow) => {
      this.arithmetic.encode(type, into, narrow, programShape(input).cols)
      this.arithmetic.widen(type === 'f16' ? 'F16' : 'BF16', narrow, into)
    })
  }

  read(tensor: TensorInfo, firstElement: number, into: Float32Array): void {
    const type = readableType(tensor)
    const position = tensor.offset + storedBytes(type, firstElement)
    if (type === 'F32') return this.reader.read(tensor.source, bytesOf(into), position)
    this.borrow(storedBytes(type, into.length), (buffer) => {
      this.reader.read(tensor.source, buffer, position)
      this.arithmetic.widen(type, buffer, into)
    })
  }

  private lowRank({ B, A, scale }: LowRank, first: number, into: Float32Array): void {
    this.withFactors({ B, A, scale }, first, into.length / A.cols, (product) => this.arithmetic.product(product, into))
  }

  /** Lends the factors of rows [first, first + rows) of a product. */
  private withFactors({ B, A, scale }: Pick<LowRank, 'B' | 'A' | 'scale'>, first: number, rows: number, use: (product: PackedProduct) => void): void {
    const packed = packedFactor(this, A)
    this.borrowFloats(rows * B.cols, (tileOfB) => {
      viewRows(this, B, first, tileOfB)
      use({ B: tileOfB, A: packed, scale, rank: A.rows, cols: A.cols })
    })
  }

  /** One low-rank delta is added as it is made; all else is summed first. @returns the bits of the largest magnitude where they come without a look */
  private add({ base, deltas }: Extract<RowProgram, { op: 'add' }>, first: number, into: Float32Array): number | undefined {
    const { delta, weight } = this.norms
    this.rows(base, first, into)
    const [only] = deltas
    if (deltas.length !== 1 || only?.op !== 'lowRank' || this.narrow !== undefined) {
      this.addSum(base, deltas, first, into)
      return undefined
    }
    let largest = 0
    this.withFactors(only, first, into.length / only.A.cols, (product) => (largest = this.arithmetic.addProduct(into, product, this.norms)))
    if (largest < F32_INFINITY) return largest
    // seldom: the base has NaN or infinity, or the sum is too large; the careful way tells which
    Object.assign(this.norms, { delta, weight })
    this.rows(base, first, into)
    this.addSum(base, deltas, first, into)
    return undefined
  }

  /** `into`, which holds the base, plus the sum of all deltas; NaN and infinity of the base stay as they are. */
  private addSum(base: RowProgram, deltas: readonly RowProgram[], first: number, into: Float32Array): void {
    const kept = this.hasNonFinite(into) ? takeNonFinite(into) : new Map<number, number>()
    this.borrowFloats(into.length, (sum) => {
      this.unmeasured(() => this.sumOf(deltas, first, sum))
      for (const index of kept.keys()) sum[index] = 0
      this.addMeasured(into, sum, programShape(base).cols)
    })
    if (this.hasNonFinite(into)) {
      const before = new Float32Array(into.length)
      this.rows(base, first, before)
      throw grewTooLarge(base, first, before, into)
    }
    giveBack(into, kept)
  }

  private sumOf(deltas: readonly RowProgram[], first: number, sum: Float32Array): void {
    const [head, ...rest] = deltas
    if (head === undefined) return void sum.fill(0)
    this.rows(head, first, sum)
    if (rest.length === 0) return
    this.borrowFloats(sum.length, (term) => {
      for (const delta of rest) {
        this.rows(delta, first, term)
        this.arithmetic.add(sum, term)
      }
    })
  }

  borrowFloats(count: number, use: (buffer: Float32Array) => void): void {
    this.borrow(count * 4, (bytes) => use(floatsOf(bytes)))
  }

  borrow(byteLength: number, use: (buffer: Uint8Array) => void): void {
    const mark = this.arena.mark()
    try {
      use(this.arena.take(byteLength))
    } finally {
      this.arena.release(mark)
    }
  }

  hasNonFinite(values: Float32Array): boolean {
    return this.arithmetic.largestMagnitude(values) >= F32_INFINITY
  }
}

function readableType(tensor: TensorInfo): ReadableType {
  if (!isReadableType(tensor.dtype)) throw new InternalError(`${tensor.dtype} cannot be read as f32 rows`, placeOfTensor(tensor))
  return tensor.dtype
}
