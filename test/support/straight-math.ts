/**
 * The laws of docs/numerics.md once more, written straight down over whole tensors: no tiles, no bit tricks, no code of
 * src. What the engine and the encoders are compared with.
 */

/** Marsaglia's xorshift32: the same values on every machine. */
export class Seeded {
  private state: number

  constructor(seed: number) {
    this.state = (seed | 0) === 0 ? 1 : seed | 0
  }

  /** 32 random bits. */
  bits(): number {
    this.state ^= this.state << 13
    this.state ^= this.state >>> 17
    this.state ^= this.state << 5
    return this.state >>> 0
  }

  /** A value like those of weights: mostly within ±1, sometimes tiny, sometimes zero. */
  weight(): number {
    const kind = this.bits() % 16
    const value = (this.bits() / 2 ** 32) * 2 - 1
    return kind === 0 ? 0 : kind === 1 ? value * 1e-7 : kind === 2 ? value * 30 : value
  }

  weights(count: number, factor = 1): Float64Array {
    return Float64Array.from({ length: count }, () => this.weight() * factor)
  }
}

/** A 16-bit float format. */
export interface HalfFormat {
  readonly fractionBits: number
  readonly smallestExponent: number
  readonly largest: number
  /** Its bits. */
  readonly infinity: number
}

export const F16: HalfFormat = { fractionBits: 10, smallestExponent: -14, largest: 65504, infinity: 0x7c00 }
export const BF16: HalfFormat = { fractionBits: 7, smallestExponent: -126, largest: 255 * 2 ** 120, infinity: 0x7f80 }

/** The value of 16 bits, by the definition of the format; exact in f64. */
export function valueOfHalf({ fractionBits, smallestExponent, infinity }: HalfFormat, half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const magnitude = half & 0x7fff
  if (magnitude >= infinity) return magnitude === infinity ? sign * Infinity : Number.NaN
  const exponent = magnitude >> fractionBits
  const fraction = magnitude & ((1 << fractionBits) - 1)
  const significand = exponent === 0 ? fraction : fraction + (1 << fractionBits)
  return sign * significand * 2 ** (Math.max(exponent, 1) - 1 + smallestExponent - fractionBits)
}

/** The nearest half of a value that is not NaN: the value in units of its last place, rounded half to even. Exact in f64. */
export function nearestHalf({ fractionBits, smallestExponent, largest, infinity }: HalfFormat, value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (magnitude > largest * 2) return sign | infinity
  let exponent = magnitude === 0 ? smallestExponent : Math.max(smallestExponent, Math.floor(Math.log2(magnitude)))
  if (magnitude < 2 ** exponent && exponent > smallestExponent) exponent-- // Math.log2 may be off at powers of two
  if (magnitude >= 2 ** (exponent + 1)) exponent++
  const units = magnitude / 2 ** (exponent - fractionBits)
  const below = Math.floor(units)
  const rest = units - below
  const rounded = rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below
  if (rounded * 2 ** (exponent - fractionBits) > largest) return sign | infinity
  // a significand that rounds up to the next power of two carries into the exponent by plain addition
  return sign | ((exponent - smallestExponent) * (1 << fractionBits) + rounded)
}

/** Packs values as F32, F16 or BF16, rounded to the nearest. */
export function packed(dtype: string, values: ArrayLike<number>): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(Float32Array.from(values).buffer)
  const format = dtype === 'F16' ? F16 : BF16
  return new Uint8Array(Uint16Array.from(values, (value) => nearestHalf(format, value)).buffer)
}

/** What packed bytes hold, as f64. */
export function unpacked(dtype: string, bytes: Uint8Array): Float64Array {
  const copy = new Uint8Array(bytes).buffer // a Buffer's slice() is no copy
  if (dtype === 'F32') return Float64Array.from(new Float32Array(copy))
  const format = dtype === 'F16' ? F16 : BF16
  return Float64Array.from(new Uint16Array(copy), (half) => valueOfHalf(format, half))
}

/** f32 values in a GGUF or safetensors type. */
export function encoded(type: 'f32' | 'f16' | 'bf16' | 'q8_0', values: Float32Array): Uint8Array {
  if (type !== 'q8_0') return packed(type.toUpperCase(), values)
  const bytes: number[] = []
  for (let start = 0; start < values.length; start += 32) {
    const block = [...values.subarray(start, start + 32)]
    const scale = Math.fround(Math.max(...block.map(Math.abs)) / 127)
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale)
    const half = nearestHalf(F16, scale)
    bytes.push(half & 255, half >> 8)
    for (const value of block) {
      const quotient = Math.fround(value * inverse)
      bytes.push((Math.sign(quotient) * Math.floor(Math.abs(quotient) + 0.5)) & 255)
    }
  }
  return Uint8Array.from(bytes)
}

/** One adapter's part: B (rows x rank), A (rank x cols), row major. */
export interface StraightDelta {
  readonly B: ArrayLike<number>
  readonly A: ArrayLike<number>
  readonly rank: number
  readonly scale: number
}

/** The sum of all deltas at one element, by the law of the sum: each adapter from zero, rank ascending, then added in order. */
function deltaAt(deltas: readonly StraightDelta[], row: number, col: number, cols: number): number {
  let sum = 0
  deltas.forEach(({ B, A, rank, scale }, n) => {
    let acc = 0
    for (let k = 0; k < rank; k++) acc = Math.fround(acc + Math.fround((B[row * rank + k] ?? 0) * (A[k * cols + col] ?? 0)))
    const d = Math.fround(acc * scale)
    sum = n === 0 ? d : Math.fround(sum + d)
  })
  return sum
}

/** W (rows x cols) with all adapters added, and the norms of ΔW and W. */
export function merged(W: ArrayLike<number>, rows: number, cols: number, deltas: readonly StraightDelta[]): { values: Float32Array; ratio: number } {
  const values = new Float32Array(rows * cols)
  let [delta, weight] = [0, 0]
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const w = W[row * cols + col] ?? 0
      if (deltas.length === 0) {
        values[row * cols + col] = w
        continue
      }
      const d = deltaAt(deltas, row, col, cols)
      values[row * cols + col] = Math.fround(w + d)
      delta += d * d
      weight += w * w
    }
  }
  return { values, ratio: delta === 0 ? 0 : Math.sqrt(delta) / Math.sqrt(weight) }
}
