/**
 * Reads the tensor infos of a GGUF header and proves where their bytes lie. Enters: a cursor after the key-values;
 * leaves: GgufTensor[] in file order, every byte range inside the file, none overlapping.
 *
 * Law: ggml gguf.cpp (llama.cpp 0c1e570), which checks the range against the file only when it loads data. Stricter:
 * names are UTF-8 without NUL; dimensions, elements and bytes are at most 2^53 - 1, none of them wraps (libggml lets a
 * q4_0 row of 5124095576030431008 elements wrap to 2 bytes).
 */
import { FormatError, UnsupportedError, type Place } from '../../core/errors.js'
import { QUANT_TYPES, type QuantType } from '../../core/quant-types.js'
import { shapeText } from '../../core/shape.js'
import { decodeStrict, shown } from './byte-text.js'
import type { HeaderCursor } from './header-cursor.js'
import { MAX_DIMENSIONS, MAX_TENSOR_NAME_BYTES, padded } from './wire-types.js'

/** One tensor of a GGUF file. */
export interface GgufTensor {
  /** As the file spells it. */
  readonly name: string
  readonly type: QuantType
  /** Outermost dimension first (the file has them the other way round); `[]` is one element. */
  readonly shape: readonly number[]
  /** First byte of the data, from the start of the file. */
  readonly offset: number
  readonly byteLength: number
}

/** A tensor whose offset is not proven yet. */
export interface TensorClaim extends Omit<GgufTensor, 'offset'> {
  /** As the file says, relative to the start of the data. */
  readonly relativeOffset: bigint
  /** Where its info lies in the file, for messages. */
  readonly infoOffset: number
}

/** Bytes that the shortest tensor info takes: name length, number of dimensions, type, offset. */
export const LEAST_TENSOR_INFO_BYTES = 8 + 4 + 4 + 8

const LARGEST = BigInt(Number.MAX_SAFE_INTEGER)
const BY_ID: ReadonlyMap<number, QuantType> = new Map(Object.entries(QUANT_TYPES).map(([name, row]) => [row.id, name as QuantType]))

/** Types that llama.cpp had once: their names say what to do better than their ids. ggml.h `enum ggml_type`. */
const REMOVED_TYPES: ReadonlyMap<number, string> = new Map([
  [4, 'q4_2'],
  [5, 'q4_3'],
  [31, 'q4_0_4_4'],
  [32, 'q4_0_4_8'],
  [33, 'q4_0_8_8'],
  [36, 'iq4_nl_4_4'],
  [37, 'iq4_nl_4_8'],
  [38, 'iq4_nl_8_8'],
])

/**
 * @param count  number of tensors, already checked against the bytes left
 * @throws FormatError, UnsupportedError
 */
export async function readTensorClaims(cursor: HeaderCursor, count: number, file: string): Promise<TensorClaim[]> {
  const claims: TensorClaim[] = []
  const seen = new Set<string>()
  for (let i = 0; i < count; i++) {
    const claim = await readTensorClaim(cursor, file)
    if (seen.has(claim.name)) throw new FormatError('the name stands twice in the list of tensors.', { file, tensor: claim.name, offset: claim.infoOffset })
    seen.add(claim.name)
    claims.push(claim)
  }
  return claims
}

/**
 * Gives every tensor its place: the data must follow each other without holes, each tensor at the next multiple of
 * `alignment`, all of it inside the file. Padding after the last one may be missing; bytes after it are ignored.
 *
 * @param dataStart  offset of the data in the file
 * @throws FormatError
 */
export function placeTensors(claims: readonly TensorClaim[], dataStart: number, alignment: number, file: string, fileBytes: number): GgufTensor[] {
  let next = 0
  return claims.map(({ name, type, shape, byteLength, relativeOffset, infoOffset }) => {
    const place = { file, tensor: name, offset: infoOffset }
    if (relativeOffset !== BigInt(next))
      throw new FormatError(
        `its data begins at offset ${relativeOffset} of the data, ${next} wanted: tensors must follow each other without gap or overlap.`,
        place,
      )
    const offset = dataStart + next
    if (offset + byteLength > fileBytes) {
      throw new FormatError(
        `its ${byteLength} bytes of data should begin at byte ${offset}, but the file has ${fileBytes}: it is damaged or cut short (an unfinished download?).`,
        place,
      )
    }
    next = padded(next + byteLength, alignment) // stays below 2^53: next + byteLength <= fileBytes
    return { name, type, shape, offset, byteLength }
  })
}

async function readTensorClaim(cursor: HeaderCursor, file: string): Promise<TensorClaim> {
  const infoOffset = cursor.position
  const name = await readName(cursor)
  const place: Place = { file, tensor: name, offset: infoOffset }
  const dimensions = await readDimensions(cursor, place)
  const type = typeOf(await cursor.u32('the type of a tensor'), place)
  const relativeOffset = await cursor.u64('the offset of a tensor')
  const byteLength = bytesOf(dimensions, type, place)
  return { name, type, shape: dimensions.map(Number).reverse(), byteLength, relativeOffset, infoOffset }
}

async function readName(cursor: HeaderCursor): Promise<string> {
  const start = cursor.position
  const bytes = await cursor.bytes('the name of a tensor')
  const name = decodeStrict(bytes)
  if (name === undefined) throw cursor.fault('the name of a tensor is not valid UTF-8.', start)
  if (bytes.length > MAX_TENSOR_NAME_BYTES)
    throw cursor.fault(`the tensor name ${shown(name)} has ${bytes.length} bytes; at most ${MAX_TENSOR_NAME_BYTES} are allowed.`, start)
  if (name.includes('\0')) throw cursor.fault(`the tensor name ${shown(name)} holds a NUL.`, start)
  return name
}

/** Innermost dimension first, as in the file. */
async function readDimensions(cursor: HeaderCursor, place: Place): Promise<bigint[]> {
  const count = await cursor.u32('the number of dimensions of a tensor')
  if (count > MAX_DIMENSIONS) throw new FormatError(`has ${count} dimensions; at most ${MAX_DIMENSIONS} are allowed.`, place)
  const dimensions: bigint[] = []
  for (let i = 0; i < count; i++) {
    const dimension = await cursor.u64('a dimension of a tensor')
    if (dimension > LARGEST) throw new FormatError(`dimension ${i} is ${dimension}; at most 2^53 - 1 is possible.`, place)
    dimensions.push(dimension)
  }
  return dimensions
}

function typeOf(id: number, place: Place): QuantType {
  const type = BY_ID.get(id)
  if (type !== undefined) return type
  const removed = REMOVED_TYPES.get(id)
  if (removed !== undefined)
    throw new UnsupportedError(`has type ${id} (${removed}), which llama.cpp has removed: convert the model again from its source.`, place)
  throw new FormatError(`has the unknown type ${id}: the file is damaged, or newer than this tool.`, place)
}

function bytesOf(dimensions: readonly bigint[], type: QuantType, place: Place): number {
  const { blockElements, blockBytes } = QUANT_TYPES[type]
  const row = dimensions[0] ?? 1n
  if (row % BigInt(blockElements) !== 0n) throw new FormatError(`${type} needs rows of a multiple of ${blockElements} elements, found ${row}.`, place)
  // the product without its zeros, so that a zero cannot hide a wrap
  const product = dimensions.reduce((product, dimension) => (dimension === 0n ? product : product * dimension), 1n)
  const bytes = (product / BigInt(blockElements)) * BigInt(blockBytes)
  if (product > LARGEST || bytes > LARGEST)
    throw new FormatError(
      `shape ${shapeText(dimensions.map(Number).reverse())} of ${type} is too large: at most 2^53 - 1 elements and bytes are possible.`,
      place,
    )
  return dimensions.includes(0n) ? 0 : Number(bytes)
}
