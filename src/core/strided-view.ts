/**
 * Strided views of stored elements (transposes, slices, expansions, other byte orders), read as if they were packed:
 * row major, little-endian. What enters is a view and a way to read its storage; what leaves is any range of the packed
 * bytes, in bounded memory and with few reads, whichever way the strides run.
 *
 * Law: torch's strides: element (i, j, …) lies `offset + i·stride0 + j·stride1 + …` elements into the storage.
 */
import { InternalError } from './errors.js'

/** Plain data. Whoever makes one has checked that every element lies inside the storage. */
export interface StridedView {
  /** First element, in bytes from the start of the storage. */
  readonly offset: number
  readonly elementBytes: number
  /** Outermost dimension first. */
  readonly shape: readonly number[]
  /** Counted in elements, none negative; 0 repeats. */
  readonly strides: readonly number[]
  /** The storage is big-endian: bytes of one number, to be reversed (4 for a complex64 of 8 bytes). 1: as it is. */
  readonly reversedBytes: number
  /** Bytes of a little-endian element whose top bit is flipped: lazy negation and conjugation. */
  readonly flippedBytes: readonly number[]
}

/** One read of the storage, and where its elements go. */
interface Chunk {
  readonly position: number
  readonly byteLength: number
  /** Puts the elements of the bytes that were read at their places. */
  place(bytes: Uint8Array): void
}

/** A dimension of a box of elements: its length, and the distance of neighbours in the storage and in the output. */
interface Axis {
  readonly count: number
  readonly stride: number
  readonly step: number
  /** Set when this walks another axis in blocks: the length of that one, whose last block may be shorter. */
  readonly blocksOf?: number
}

const CHUNK_BYTES = 1 << 20 // what is read at once
const NEAR_BYTES = 4096 // reading this much in vain costs less than a read more
const MOST_GAPS = 16 // bytes read for one that is used

/** Fills `into` with the packed bytes from `position` on. @param read  fills its first argument from a position of the storage */
export function readStrided(view: StridedView, into: Uint8Array, position: number, read: (into: Uint8Array, position: number) => void): void {
  const buffers = new Buffers()
  for (const chunk of chunksOf(view, into, position)) {
    const bytes = buffers.take(chunk.byteLength)
    read(bytes, chunk.position)
    chunk.place(bytes)
  }
  correct(view, into)
}

/** {@link readStrided} of a storage that is read asynchronously. */
export async function readStridedAsync(
  view: StridedView,
  into: Uint8Array,
  position: number,
  read: (into: Uint8Array, position: number) => Promise<void>,
): Promise<void> {
  const buffers = new Buffers()
  for (const chunk of chunksOf(view, into, position)) {
    const bytes = buffers.take(chunk.byteLength)
    await read(bytes, chunk.position)
    chunk.place(bytes)
  }
  correct(view, into)
}

/** Lends one buffer again and again. */
class Buffers {
  private buffer = new Uint8Array(0)

  take(byteLength: number): Uint8Array {
    if (this.buffer.byteLength < byteLength) this.buffer = new Uint8Array(byteLength)
    return this.buffer.subarray(0, byteLength)
  }
}

function* chunksOf(view: StridedView, into: Uint8Array, position: number): Generator<Chunk> {
  const { elementBytes } = view
  if (position % elementBytes !== 0 || into.byteLength % elementBytes !== 0) throw new InternalError('a view is read in whole elements')
  const end = (position + into.byteLength) / elementBytes
  const sizes = suffixProducts(view.shape)
  for (let at = position / elementBytes; at < end;) {
    const box = boxAt(view, sizes, at, end)
    yield* boxChunks(view, box, into, at - position / elementBytes)
    at += box.elements
  }
}

/** Elements of the dimensions after each one: `[2, 3, 4] -> [12, 4, 1]`. */
function suffixProducts(shape: readonly number[]): number[] {
  const sizes = shape.map(() => 1)
  for (let i = shape.length - 2; i >= 0; i--) sizes[i] = (sizes[i + 1] ?? 1) * (shape[i + 1] ?? 1)
  return sizes
}

interface Box {
  readonly elements: number
  /** First element, counted in the storage from the view's offset. */
  readonly start: number
  /** The dimensions that it extends in. */
  readonly axes: readonly Axis[]
}

/** The largest box of elements [at, …) that ends no later than `end`: part of one dimension, and all that lies inside it. */
function boxAt({ shape, strides }: StridedView, sizes: readonly number[], at: number, end: number): Box {
  let start = 0
  let split = shape.length
  let count = 1
  for (let axis = shape.length - 1, whole = true; axis >= 0; axis--) {
    const size = sizes[axis]!
    const index = Math.floor(at / size) % shape[axis]!
    start += index * strides[axis]!
    if (!whole) continue
    const fits = Math.min(shape[axis]! - index, Math.floor((end - at) / size))
    if (fits < 1) whole = false
    else [split, count] = [axis, fits]
    if (index !== 0 || fits < shape[axis]!) whole = false
  }
  const axes: Axis[] = []
  for (let axis = split; axis < shape.length; axis++) {
    const extent = axis === split ? count : shape[axis]!
    if (extent > 1) axes.push({ count: extent, stride: strides[axis]!, step: sizes[axis]! })
  }
  return { elements: count * (sizes[split] ?? 1), start, axes }
}

/** Reads a box: the dimensions with the smallest strides at once as far as a chunk reaches, the others one by one. */
function* boxChunks({ offset, elementBytes }: StridedView, { start, axes }: Box, into: Uint8Array, firstOutput: number): Generator<Chunk> {
  const { inner, outer } = splitAxes(axes, elementBytes)
  for (const { at, out, extents } of walk(outer, inner)) {
    const span = inner.reduce((sum, { stride }, i) => sum + ((extents[i] ?? 1) - 1) * stride, 1)
    yield {
      position: offset + (start + at) * elementBytes,
      byteLength: span * elementBytes,
      place: (bytes) => scatter(bytes, inner, extents, into, firstOutput + out, elementBytes),
    }
  }
}

/** `inner` is read at once, its largest stride first; when its first axis is too long for that, the last of `outer` walks it in blocks. */
function splitAxes(axes: readonly Axis[], elementBytes: number): { inner: Axis[]; outer: Axis[] } {
  const outer = [...axes].sort((a, b) => b.stride - a.stride)
  const inner: Axis[] = []
  let [span, elements] = [1, 1]
  for (let axis = outer.pop(); axis !== undefined; axis = outer.pop()) {
    const { count, stride, step } = axis
    const fits = stride === 0 ? count : Math.min(count, Math.floor((CHUNK_BYTES / elementBytes - span) / stride) + 1)
    const wider = span + (fits - 1) * stride
    const isDense = wider * elementBytes <= NEAR_BYTES || wider <= elements * fits * MOST_GAPS
    if (fits < 2 || !isDense) {
      outer.push(axis)
      break
    }
    inner.unshift({ count: fits, stride, step })
    if (fits < count) {
      outer.push({ count: Math.ceil(count / fits), stride: stride * fits, step: step * fits, blocksOf: count })
      break
    }
    span = wider
    elements *= fits
  }
  return { inner, outer }
}

/** Every combination of indices of `outer`: where it lies in storage and output, and how far `inner` extends there. */
function* walk(outer: readonly Axis[], inner: readonly Axis[]): Generator<{ at: number; out: number; extents: number[] }> {
  const indices = outer.map(() => 0)
  const extents = inner.map(({ count }) => count)
  const [blocked, blocks] = [inner[0], outer.at(-1)?.blocksOf]
  do {
    const at = outer.reduce((sum, { stride }, i) => sum + indices[i]! * stride, 0)
    const out = outer.reduce((sum, { step }, i) => sum + indices[i]! * step, 0)
    if (blocked !== undefined && blocks !== undefined) extents[0] = Math.min(blocked.count, blocks - indices.at(-1)! * blocked.count)
    yield { at, out, extents }
  } while (advance(indices, outer))
}

/** The next combination of indices, the last dimension first; false after the last one. */
function advance(indices: number[], axes: readonly { readonly count: number }[]): boolean {
  for (let i = axes.length - 1; i >= 0; i--) {
    if (++indices[i]! < axes[i]!.count) return true
    indices[i] = 0
  }
  return false
}

function scatter(bytes: Uint8Array, axes: readonly Axis[], extents: readonly number[], into: Uint8Array, firstOutput: number, elementBytes: number): void {
  const lines = axes.slice(0, -1).map((axis, i) => ({ ...axis, count: extents[i]! }))
  const { stride, step } = axes.at(-1) ?? { stride: 1, step: 1 }
  const count = axes.length === 0 ? 1 : extents.at(-1)!
  const indices = lines.map(() => 0)
  do {
    let from = 0
    let to = firstOutput
    for (let i = 0; i < lines.length; i++) {
      from += indices[i]! * lines[i]!.stride
      to += indices[i]! * lines[i]!.step
    }
    copyLine(bytes, from * elementBytes, stride * elementBytes, into, to * elementBytes, step * elementBytes, count, elementBytes)
  } while (advance(indices, lines))
}

function copyLine(bytes: Uint8Array, from: number, stride: number, into: Uint8Array, to: number, step: number, count: number, elementBytes: number): void {
  if (stride === elementBytes && step === elementBytes) return into.set(bytes.subarray(from, from + count * elementBytes), to)
  for (let i = 0; i < count; i++, from += stride, to += step) for (let k = 0; k < elementBytes; k++) into[to + k] = bytes[from + k]!
}

/** Byte order, then lazy signs. */
function correct({ reversedBytes, flippedBytes, elementBytes }: StridedView, into: Uint8Array): void {
  if (reversedBytes > 1) for (let at = 0; at < into.byteLength; at += reversedBytes) into.subarray(at, at + reversedBytes).reverse()
  for (const byte of flippedBytes) for (let at = byte; at < into.byteLength; at += elementBytes) into[at] = into[at]! ^ 0x80
}
