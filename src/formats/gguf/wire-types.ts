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
 * in a JS array). The vocabulary of Gemma (262 k tokens, 515 k merges) makes about 16 MB. libggml allows 2^30 bytes per
 * string and 2^30 items per array.
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
  readonly List: new (length: number) => List
}

const MAX_F32 = 3.4028234663852886e38
const MAX_F64 = Number.MAX_VALUE

// oxfmt-ignore
export const NUMBER_TYPES = {
  u8:  { id: 0, bytes: 1, ...unsigned(8), read: (v, at) => v.getUint8(at), write: (v, at, x) => v.setUint8(at, x), List: Uint8Array },
  i8:  { id: 1, bytes: 1, ...signed(8), read: (v, at) => v.getInt8(at), write: (v, at, x) => v.setInt8(at, x), List: Int8Array },
  u16: { id: 2, bytes: 2, ...unsigned(16), read: (v, at) => v.getUint16(at, true), write: (v, at, x) => v.setUint16(at, x, true), List: Uint16Array },
  i16: { id: 3, bytes: 2, ...signed(16), read: (v, at) => v.getInt16(at, true), write: (v, at, x) => v.setInt16(at, x, true), List: Int16Array },
  u32: { id: 4, bytes: 4, ...unsigned(32), read: (v, at) => v.getUint32(at, true), write: (v, at, x) => v.setUint32(at, x, true), List: Uint32Array },
  i32: { id: 5, bytes: 4, ...signed(32), read: (v, at) => v.getInt32(at, true), write: (v, at, x) => v.setInt32(at, x, true), List: Int32Array },
  f32: { id: 6, bytes: 4, ...float(MAX_F32), read: (v, at) => v.getFloat32(at, true), write: (v, at, x) => v.setFloat32(at, x, true), List: Float32Array },
  f64: { id: 12, bytes: 8, ...float(MAX_F64), read: (v, at) => v.getFloat64(at, true), write: (v, at, x) => v.setFloat64(at, x, true), List: Float64Array },
} as const satisfies Record<NumberType, NumericRow<number, ArrayLike<number>>>

// oxfmt-ignore
export const BIG_TYPES = {
  u64: { id: 10, bytes: 8, ...unsigned64(), read: (v, at) => v.getBigUint64(at, true), write: (v, at, x) => v.setBigUint64(at, x, true), List: BigUint64Array },
  i64: { id: 11, bytes: 8, ...signed64(), read: (v, at) => v.getBigInt64(at, true), write: (v, at, x) => v.setBigInt64(at, x, true), List: BigInt64Array },
} as const satisfies Record<BigType, NumericRow<bigint, ArrayLike<bigint>>>

/** Ids of all value types. */
export const VALUE_TYPE_IDS = {
  u8: NUMBER_TYPES.u8.id,
  i8: NUMBER_TYPES.i8.id,
  u16: NUMBER_TYPES.u16.id,
  i16: NUMBER_TYPES.i16.id,
  u32: NUMBER_TYPES.u32.id,
  i32: NUMBER_TYPES.i32.id,
  f32: NUMBER_TYPES.f32.id,
  bool: 7,
  string: 8,
  array: 9,
  u64: BIG_TYPES.u64.id,
  i64: BIG_TYPES.i64.id,
  f64: NUMBER_TYPES.f64.id,
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

function unsigned(bits: number): Limits<number> {
  return integer(0, 2 ** bits - 1)
}

function signed(bits: number): Limits<number> {
  return integer(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
}

function integer(least: number, most: number): Limits<number> {
  return { range: [least, most], fits: (value) => Number.isInteger(value) && value >= least && value <= most }
}

// what rounds to the largest finite value fits too, as in Python's struct.pack
function float(most: number): Limits<number> {
  return { range: [-most, most], fits: (value) => most > MAX_F32 || !Number.isFinite(value) || Number.isFinite(Math.fround(value)) }
}

function unsigned64(): Limits<bigint> {
  return bigInteger(0n, 2n ** 64n - 1n)
}

function signed64(): Limits<bigint> {
  return bigInteger(-(2n ** 63n), 2n ** 63n - 1n)
}

function bigInteger(least: bigint, most: bigint): Limits<bigint> {
  return { range: [least, most], fits: (value) => value >= least && value <= most }
}

type Limits<N> = Pick<NumericRow<N, never>, 'range' | 'fits'>
