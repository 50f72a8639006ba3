/** f16 and bf16 against arithmetic that shares no line with src/core/float16.ts: f64 values, rounded by division and ties to even. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { narrowBf16, narrowBf16s, narrowF16, narrowF16s, widenBf16s, widenF16, widenF16s } from '../src/core/float16.js'

const word = new DataView(new ArrayBuffer(4))

function valueOfBits(bits: number): number {
  word.setUint32(0, bits)
  return word.getFloat32(0)
}

function bitsOfValue(value: number): number {
  word.setFloat32(0, value)
  return word.getUint32(0)
}

interface Format {
  readonly name: string
  readonly fractionBits: number
  readonly smallestExponent: number
  readonly largest: number
  readonly infinity: number
  readonly narrow: (bits: number) => number
}

const F16: Format = { name: 'f16', fractionBits: 10, smallestExponent: -14, largest: 65504, infinity: 0x7c00, narrow: narrowF16 }
const BF16: Format = { name: 'bf16', fractionBits: 7, smallestExponent: -126, largest: 255 * 2 ** 120, infinity: 0x7f80, narrow: narrowBf16 }

/** The value of 16 bits, by the definition of the format; exact in f64. */
function valueOfHalf({ fractionBits, smallestExponent, infinity }: Format, half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const magnitude = half & 0x7fff
  if (magnitude >= infinity) return magnitude === infinity ? sign * Infinity : Number.NaN
  const exponent = magnitude >> fractionBits
  const fraction = magnitude & ((1 << fractionBits) - 1)
  const significand = exponent === 0 ? fraction : fraction + (1 << fractionBits)
  return sign * significand * 2 ** (Math.max(exponent, 1) - 1 + smallestExponent - fractionBits)
}

/** The nearest half of a value that is not NaN: the value in units of its last place, rounded half to even. Exact in f64. */
function nearestHalf({ fractionBits, smallestExponent, largest, infinity }: Format, value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  let exponent = smallestExponent
  while (magnitude >= 2 ** (exponent + 1) && 2 ** exponent <= largest) exponent++
  const units = magnitude / 2 ** (exponent - fractionBits)
  const below = Math.floor(units)
  const rest = units - below
  const rounded = rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below
  if (rounded * 2 ** (exponent - fractionBits) > largest) return sign | infinity
  // a significand that rounds up to the next power of two carries into the exponent by plain addition
  return sign | ((exponent - smallestExponent) * (1 << fractionBits) + rounded)
}

/** Marsaglia's xorshift32: the same values on every machine. */
function* seeded(seed: number, count: number): Generator<number> {
  let state = seed
  for (let i = 0; i < count; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    yield state >>> 0
  }
}

function hex(bits: number): string {
  return `0x${(bits >>> 0).toString(16).padStart(8, '0')}`
}

function isNaNBits(bits: number): boolean {
  return (bits & 0x7fff_ffff) > 0x7f80_0000
}

function checkNarrow(format: Format, bits: number): void {
  const expected = nearestHalf(format, valueOfBits(bits))
  const found = format.narrow(bits)
  // assert.equal builds its message at every call: too slow for millions
  if (found !== expected) assert.fail(`${format.name} of ${hex(bits)} (${valueOfBits(bits)}) is ${hex(found)}, wanted ${hex(expected)}`)
}

describe('f16 and bf16', () => {
  it('widens every f16 to its exact value', () => {
    for (let half = 0; half < 65_536; half++) {
      const value = valueOfHalf(F16, half)
      const bits = widenF16(half)
      if (Number.isNaN(value)) assert.ok(isNaNBits(bits), hex(half))
      else assert.ok(Object.is(valueOfBits(bits), value), `${hex(half)} gives ${valueOfBits(bits)}, wanted ${value}`)
    }
  })

  it('widens every bf16 to its exact value', () => {
    const halves = Uint16Array.from({ length: 65_536 }, (_, i) => i)
    const bits = new Uint32Array(65_536)
    widenBf16s(halves, bits)
    for (const [half, found] of bits.entries()) {
      const value = valueOfHalf(BF16, half)
      if (Number.isNaN(value)) assert.ok(isNaNBits(found), hex(half))
      else assert.ok(Object.is(valueOfBits(found), value), `${hex(half)} gives ${valueOfBits(found)}, wanted ${value}`)
    }
  })

  it('brings every 16-bit pattern back bit for bit, signalling NaNs with their payloads too', () => {
    const halves = Uint16Array.from({ length: 65_536 }, (_, i) => i)
    for (const [widen, narrow] of [[widenF16s, narrowF16s], [widenBf16s, narrowBf16s]] as const) {
      const [wide, back] = [new Uint32Array(65_536), new Uint16Array(65_536)]
      widen(halves, wide)
      narrow(wide, back)
      assert.deepEqual(back, halves)
    }
  })

  it('has array forms that equal the single ones', () => {
    const bits = Uint32Array.from(seeded(7, 10_000))
    const halves = new Uint16Array(bits.length)
    narrowF16s(bits, halves)
    assert.deepEqual(halves, Uint16Array.from(bits, narrowF16))
    narrowBf16s(bits, halves)
    assert.deepEqual(halves, Uint16Array.from(bits, narrowBf16))
    const wide = new Uint32Array(halves.length)
    widenF16s(halves, wide)
    assert.deepEqual(wide, Uint32Array.from(halves, widenF16))
  })

  for (const format of [F16, BF16]) {
    it(`rounds 1,500,000 seeded f32 bit patterns to the nearest ${format.name}, ties to even`, () => {
      for (const bits of seeded(0x1234_5678, 1_500_000)) if (!isNaNBits(bits)) checkNarrow(format, bits)
    })

    it(`rounds 500,000 seeded f32 inside the range of ${format.name}`, () => {
      for (const random of seeded(99, 500_000)) {
        // exponents from below the smallest subnormal to above the largest value
        const exponent = format === F16 ? 100 + ((random >>> 23) % 46) : (random >>> 23) & 0xff
        const bits = ((random & 0x8000_0000) | (exponent << 23) | (random & 0x7f_ffff)) >>> 0
        if (!isNaNBits(bits)) checkNarrow(format, bits)
      }
    })

    it(`rounds at, below and above every midpoint between neighbours of ${format.name}`, () => {
      for (let half = 0; half < format.infinity; half++) {
        const next = half + 1 === format.infinity ? format.largest + (format.largest - valueOfHalf(format, half - 1)) : valueOfHalf(format, half + 1)
        const middle = (valueOfHalf(format, half) + next) / 2
        const bits = bitsOfValue(middle)
        if (valueOfBits(bits) !== middle) continue // the midpoint of the smallest bf16 subnormals lies between two f32
        for (const near of [bits - 1, bits, bits + 1]) {
          if (near < 0) continue
          checkNarrow(format, near)
          checkNarrow(format, (near | 0x8000_0000) >>> 0)
        }
      }
    })
  }

  it('keeps 65504 and 65519.99, and makes 65520 infinite', () => {
    const narrow = (value: number): number => narrowF16(bitsOfValue(value))
    assert.deepEqual([65504, 65519.99, 65520, Infinity, -65519.99, -65520].map(narrow), [0x7bff, 0x7bff, 0x7c00, 0x7c00, 0xfbff, 0xfc00])
  })

  it('rounds half of the smallest f16 subnormal to zero, and everything above it up', () => {
    assert.equal(narrowF16(bitsOfValue(2 ** -25)), 0)
    assert.equal(narrowF16(bitsOfValue(2 ** -25) + 1), 1)
    assert.equal(narrowF16(bitsOfValue(-(2 ** -25))), 0x8000)
    assert.equal(narrowF16(bitsOfValue(-1e-45)), 0x8000)
  })

  it('carries from the largest subnormal into the smallest normal', () => {
    assert.equal(narrowF16(bitsOfValue(2 ** -14 - 2 ** -25)), 0x0400)
    assert.equal(narrowF16(bitsOfValue(2 ** -14 - 2 ** -24)), 0x03ff)
    assert.equal(narrowBf16(0x007f_ffff), 0x0080)
  })

  it('keeps the upper payload bits and the sign of a NaN, and never makes it a number', () => {
    assert.equal(narrowF16(0x7f80_2000), 0x7c01) // signalling stays signalling
    assert.equal(narrowF16(0xffc0_0000), 0xfe00)
    assert.equal(narrowF16(0x7f80_0001), 0x7e00) // a payload that does not fit becomes the quiet NaN, not infinity
    assert.equal(narrowBf16(0x7f81_0000), 0x7f81)
    assert.equal(narrowBf16(0xff80_0001), 0xffc0)
    assert.equal(narrowBf16(0x7fff_ffff), 0x7fff) // would overflow into the sign if it were rounded
    for (const random of seeded(5, 200_000)) {
      const bits = (0x7f80_0000 | random) >>> 0
      if (!isNaNBits(bits)) continue
      assert.ok(Number.isNaN(valueOfHalf(F16, narrowF16(bits))), hex(bits))
      assert.ok(Number.isNaN(valueOfHalf(BF16, narrowBf16(bits))), hex(bits))
      assert.equal(narrowF16(bits) >>> 15, bits >>> 31)
    }
  })
})
