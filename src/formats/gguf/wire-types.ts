/**
 * The numbers of the GGUF container: value type ids, how each number lies on the wire, limits.
 *
 * Law: ggml docs/gguf.md, ggml/include/gguf.h `enum gguf_type`, ggml.h GGML_MAX_NAME, GGML_MAX_DIMS (llama.cpp 0c1e570).
 */

export const GGUF_VERSION = 3
export const DEFAULT_ALIGNMENT = 32
export const ALIGNMENT_KEY = 'general.alignment'

export const MAX_KEY_BYTES = 65_535 // docs/gguf.md; libggml does not check it
export const MAX_TENSOR_NAME_BYTES = 63 // GGML_MAX_NAME is 64 with its NUL
export const MAX_DIMENSIONS = 4 // GGML_MAX_DIMS

/**
 * Largest header that is read or written: bounds the memory that metadata can take (a boolean of one byte becomes eight
 * in a JS array). Largest seen: about 15 MB (262 k tokens and 515 k merges). libggml allows 2^30 bytes per string and
 * 2^30 items per array.
 */
export const MAX_HEADER_BYTES = 256 * 1024 * 1024

export type NumberType = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'f64'
export type BigType = 'u64' | 'i64'

/** One numeric type: `N` is its value in JS, `List` its typed array. */
interface NumericRow<N, List> {
  readonly id: number
  readonly bytes: number
  /** Smallest and largest value, for messages. */
  readonly range: readonly [N, N]
  /** Whether the wire holds the value; floats are rounded, but a finite one must stay finite. */
  readonly fits: (value: N) => boolean
  readonly read: (view: DataView, at: number) => N
  readonly write: (view: DataView, at: number, value: N) => void
  readonly list: (length: number) => List
}

const MAX_F32 = 3.4028234663852886e38

export const NUMBER_TYPES = {
  u8: { id: 0, bytes: 1, ...integers(0, 0xff), read: (view, at) => view.getUint8(at), write: (view, at, value) => view.setUint8(at, value), list: (n) => new Uint8Array(n) },
  i8: { id: 1, bytes: 1, ...integers(-0x80, 0x7f), read: (view, at) => view.getInt8(at), write: (view, at, value) => view.setInt8(at, value), list: (n) => new Int8Array(n) },
  u16: { id: 2, bytes: 2, ...integers(0, 0xffff), read: (view, at) => view.getUint16(at, true), write: (view, at, value) => view.setUint16(at, value, true), list: (n) => new Uint16Array(n) },
  i16: { id: 3, bytes: 2, ...integers(-0x8000, 0x7fff), read: (view, at) => view.getInt16(at, true), write: (view, at, value) => view.setInt16(at, value, true), list: (n) => new Int16Array(n) },
  u32: { id: 4, bytes: 4, ...integers(0, 0xffffffff), read: (view, at) => view.getUint32(at, true), write: (view, at, value) => view.setUint32(at, value, true), list: (n) => new Uint32Array(n) },
  i32: { id: 5, bytes: 4, ...integers(-0x80000000, 0x7fffffff), read: (view, at) => view.getInt32(at, true), write: (view, at, value) => view.setInt32(at, value, true), list: (n) => new Int32Array(n) },
  f32: { id: 6, bytes: 4, ...floats(MAX_F32), read: (view, at) => view.getFloat32(at, true), write: (view, at, value) => view.setFloat32(at, value, true), list: (n) => new Float32Array(n) },
  f64: { id: 12, bytes: 8, ...floats(Number.MAX_VALUE), read: (view, at) => view.getFloat64(at, true), write: (view, at, value) => view.setFloat64(at, value, true), list: (n) => new Float64Array(n) },
} as const satisfies Record<NumberType, NumericRow<number, ArrayLike<number>>>

export const BIG_TYPES = {
  u64: { id: 10, bytes: 8, ...bigIntegers(0n, 2n ** 64n - 1n), read: (view, at) => view.getBigUint64(at, true), write: (view, at, value) => view.setBigUint64(at, value, true), list: (n) => new BigUint64Array(n) },
  i64: { id: 11, bytes: 8, ...bigIntegers(-(2n ** 63n), 2n ** 63n - 1n), read: (view, at) => view.getBigInt64(at, true), write: (view, at, value) => view.setBigInt64(at, value, true), list: (n) => new BigInt64Array(n) },
} as const satisfies Record<BigType, NumericRow<bigint, ArrayLike<bigint>>>

/** Ids of the value types, for all of them. */
export const VALUE_TYPE_IDS = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const satisfies Record<NumberType | BigType | 'bool' | 'string' | 'array', number>

export type ValueType = keyof typeof VALUE_TYPE_IDS

const BY_ID: ReadonlyMap<number, ValueType> = new Map(Object.entries(VALUE_TYPE_IDS).map(([name, id]) => [id, name as ValueType]))

/** The value type of an id from a file; undefined for an unknown one. */
export function valueTypeOf(id: number): ValueType | undefined {
  return BY_ID.get(id)
}

export function isNumberType(type: ValueType): type is NumberType {
  return Object.hasOwn(NUMBER_TYPES, type)
}

export function isBigType(type: ValueType): type is BigType {
  return type === 'u64' || type === 'i64'
}

/** The next multiple of `alignment`, a power of two; exact beyond 2^32. */
export function padded(bytes: number, alignment: number): number {
  const over = bytes % alignment
  return over === 0 ? bytes : bytes + (alignment - over)
}

export function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(value) && value > 0 && value <= 2 ** 31 && Number.isInteger(Math.log2(value))
}

function integers(least: number, most: number): Pick<NumericRow<number, never>, 'range' | 'fits'> {
  return { range: [least, most], fits: (value) => Number.isInteger(value) && value >= least && value <= most }
}

// what rounds to the largest finite value fits too, as in Python's struct.pack
function floats(most: number): Pick<NumericRow<number, never>, 'range' | 'fits'> {
  return { range: [-most, most], fits: (value) => most > MAX_F32 || !Number.isFinite(value) || Number.isFinite(Math.fround(value)) }
}

function bigIntegers(least: bigint, most: bigint): Pick<NumericRow<bigint, never>, 'range' | 'fits'> {
  return { range: [least, most], fits: (value) => value >= least && value <= most }
}
