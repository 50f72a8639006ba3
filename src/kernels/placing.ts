/** Brings arrays to where kernels can work on them: those in their memory stay, others are copied in and out. */
import { bytesOf } from '../core/bytes.js'
import type { Arena } from './arena.js'
import type { Kernels } from './load.js'

/** Elements of a piece: whole blocks of every type; in and out together stay in the cache. */
const PIECE_ELEMENTS = 32_768
/** No type takes more than f32. */
const PIECE_BYTES = PIECE_ELEMENTS * 4
/** Room for one piece going in and one coming out. */
export const STAGE_BYTES = 2 * PIECE_BYTES

/** An array in the kernels' memory with the content of `array`: itself, or a copy on the arena's stack. @returns undefined without room */
export function place(arena: Arena, array: Float32Array): Float32Array | undefined {
  if (arena.holds(array)) return array
  if (!arena.hasRoom(array.byteLength)) return undefined
  const bytes = arena.take(array.byteLength)
  const copy = new Float32Array(bytes.buffer, bytes.byteOffset, array.length)
  copy.set(array)
  return copy
}

/** After a kernel has written into `placed`. */
export function copyBack(placed: Float32Array, array: Float32Array): void {
  if (placed !== array) array.set(placed)
}

interface Pieces {
  readonly elements: number
  /** Of `from` and of `into`. */
  readonly bytesPerElement: readonly [number, number]
}

/**
 * Calls `use` with both arrays in the kernels' memory: at once when they lie there, else piece by piece, through the stage.
 * A piece is 32 Ki elements or the rest.
 */
export function inPieces(
  { arena, stage }: Kernels,
  { elements, bytesPerElement: [fromBytes, intoBytes] }: Pieces,
  from: ArrayBufferView,
  into: ArrayBufferView,
  use: (from: Uint8Array, into: Uint8Array, count: number) => void,
): void {
  if (elements === 0) return
  const source = bytesOf(from)
  const target = bytesOf(into)
  const [holdsFrom, holdsInto] = [arena.holds(from), arena.holds(into)]
  if (holdsFrom && holdsInto) return use(source, target, elements)
  for (let first = 0; first < elements; first += PIECE_ELEMENTS) {
    const count = Math.min(PIECE_ELEMENTS, elements - first)
    const fromPiece = source.subarray(first * fromBytes, (first + count) * fromBytes)
    const intoPiece = target.subarray(first * intoBytes, (first + count) * intoBytes)
    const placedFrom = holdsFrom ? fromPiece : stage.subarray(0, fromPiece.byteLength)
    const placedInto = holdsInto ? intoPiece : stage.subarray(PIECE_BYTES, PIECE_BYTES + intoPiece.byteLength)
    if (!holdsFrom) placedFrom.set(fromPiece)
    use(placedFrom, placedInto, count)
    if (!holdsInto) intoPiece.set(placedInto)
  }
}
