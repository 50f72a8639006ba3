/**
 * What the codes of quantized checkpoints stand for, as tables of exact f32: integers, narrow floats, the code books of
 * bitsandbytes. A code enters as its bits, its number leaves.
 *
 * Law: torch's float8 types (e4m3fn and kin), OCP Microscaling Formats 1.0 §5.3 (e2m1, e8m0), bitsandbytes 0.50
 * functional.py `get_4bit_type` (nf4) and its kernels (fp4).
 */

/** Sign, exponent and mantissa of a narrow float. */
interface NarrowFloat {
  readonly mantissaBits: number
  readonly exponentBits: number
  readonly bias: number
  /** What the largest exponent means: `ieee` infinity and NaN, `nan` NaN for an all-ones mantissa, `unsigned zero` nothing: the code of -0 is NaN; `finite` numbers only. */
  readonly top: 'ieee' | 'nan' | 'unsigned zero' | 'finite'
}

const NARROW_FLOATS = {
  e4m3: { mantissaBits: 3, exponentBits: 4, bias: 7, top: 'nan' },
  e5m2: { mantissaBits: 2, exponentBits: 5, bias: 15, top: 'ieee' },
  e4m3fnuz: { mantissaBits: 3, exponentBits: 4, bias: 8, top: 'unsigned zero' },
  e5m2fnuz: { mantissaBits: 2, exponentBits: 5, bias: 16, top: 'unsigned zero' },
  e2m1: { mantissaBits: 1, exponentBits: 2, bias: 1, top: 'finite' },
} as const satisfies Record<string, NarrowFloat>

/** Quantiles of a normal distribution, made to hold 0, ±1. */
const NF4 = [
  ...[-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0],
  ...[0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1],
]
/** Of codes without their sign, which is the highest bit. */
const FP4 = [0, 5 / 960, 2 / 3, 1, 1 / 3, 1 / 2, 1 / 6, 1 / 4]

const TABLES = {
  unsigned: (bits) => numbers(bits, (code) => code),
  signed: (bits) => numbers(bits, (code) => (code < 2 ** (bits - 1) ? code : code - 2 ** bits)),
  e8m0: () => numbers(8, (code) => (code === 255 ? Number.NaN : 2 ** (code - 127))),
  nf4: () => Float32Array.from(NF4),
  fp4: () => numbers(4, (code) => (code === 8 ? 0 : (code < 8 ? 1 : -1) * (FP4[code % 8] ?? 0))),
  e4m3: () => narrowFloats(NARROW_FLOATS.e4m3),
  e5m2: () => narrowFloats(NARROW_FLOATS.e5m2),
  e4m3fnuz: () => narrowFloats(NARROW_FLOATS.e4m3fnuz),
  e5m2fnuz: () => narrowFloats(NARROW_FLOATS.e5m2fnuz),
  e2m1: () => narrowFloats(NARROW_FLOATS.e2m1),
} as const satisfies Record<string, (bits: number) => Float32Array>

/** Name of a table. */
export type CodeTable = keyof typeof TABLES

/**
 * The numbers of all codes of so many bits.
 * @param bits  at most 8; of types that have their own length it is that
 */
export function codeNumbers(table: CodeTable, bits: number): Float32Array {
  return TABLES[table](bits)
}

function numbers(bits: number, numberOf: (code: number) => number): Float32Array {
  return Float32Array.from({ length: 2 ** bits }, (_, code) => numberOf(code))
}

function narrowFloats(type: NarrowFloat): Float32Array {
  const bits = 1 + type.exponentBits + type.mantissaBits
  return numbers(bits, (code) => (code >> (bits - 1) === 0 ? magnitude(type, code) : -magnitude(type, code - 2 ** (bits - 1), true)))
}

function magnitude({ mantissaBits, exponentBits, bias, top }: NarrowFloat, code: number, isNegative = false): number {
  const steps = 2 ** mantissaBits
  const [exponent, mantissa] = [Math.floor(code / steps), code % steps]
  const isTop = exponent === 2 ** exponentBits - 1
  if (top === 'unsigned zero' && isNegative && code === 0) return Number.NaN
  if (top === 'ieee' && isTop) return mantissa === 0 ? Infinity : Number.NaN
  if (top === 'nan' && isTop && mantissa === steps - 1) return Number.NaN
  return exponent === 0 ? mantissa * 2 ** (1 - bias - mantissaBits) : (1 + mantissa / steps) * 2 ** (exponent - bias)
}
