/** f16 and bf16 against arithmetic that shares no line with src/core/float16.ts: f64 values, rounded by division and ties to even. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { keptHalf, narrowBf16, narrowBf16s, narrowF16, narrowF16s, widenBf16s, widenF16, widenF16s } from '../src/core/float16.js'
import { BF16, F16, nearestHalf, Seeded, valueOfHalf } from './support/straight-math.js'

const word = new DataView(new ArrayBuffer(4))

function valueOfBits(bits: number): number {
  word.setUint32(0, bits)
  return word.getFloat32(0)
}

function bitsOfValue(value: number): number {
  word.setFloat32(0, value)
  return word.getUint32(0)
}

const FORMATS = [
  { name: 'f16', format: F16, narrow: narrowF16 },
  { name: 'bf16', format: BF16, narrow: narrowBf16 },
] as const

function* seeded(seed: number, count: number): Generator<number> {
  const random = new Seeded(seed)
  for (let i = 0; i < count; i++) yield random.bits()
}

function hex(bits: number): string {
  return `0x${(bits >>> 0).toString(16).padStart(8, '0')}`
}

function isNaNBits(bits: number): boolean {
  return (bits & 0x7fff_ffff) > 0x7f80_0000
}

function checkNarrow({ name, format, narrow }: (typeof FORMATS)[number], bits: number): void {
  const expected = nearestHalf(format, valueOfBits(bits))
  const found = narrow(bits)
  // assert.equal builds its message at every call: too slow for millions
  if (found !== expected) assert.fail(`${name} of ${hex(bits)} (${valueOfBits(bits)}) is ${hex(found)}, wanted ${hex(expected)}`)
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

  it('brings every 16-bit pattern back bit for bit; signalling NaNs with their payloads when asked to', () => {
    for (const [type, widen, narrow] of [
      ['f16', widenF16s, narrowF16s],
      ['bf16', widenBf16s, narrowBf16s],
    ] as const) {
      const [wide, back] = [new Uint32Array(65_536), new Uint16Array(65_536)]
      widen(
        Uint16Array.from({ length: 65_536 }, (_, i) => i),
        wide,
      )
      narrow(wide, back)
      wide.forEach((bits, half) => {
        assert.equal(keptHalf(bits, type), half)
        if (!isNaNBits(bits)) assert.equal(back[half], half)
      })
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

  for (const one of FORMATS) {
    const { name, format } = one
    it(`rounds 1,000,000 seeded f32 bit patterns to the nearest ${name}, ties to even`, () => {
      for (const bits of seeded(0x1234_5678, 1_000_000)) if (!isNaNBits(bits)) checkNarrow(one, bits)
    })

    it(`rounds 250,000 seeded f32 inside the range of ${name}`, () => {
      for (const random of seeded(99, 250_000)) {
        // exponents from below the smallest subnormal to above the largest value
        const exponent = format === F16 ? 100 + ((random >>> 23) % 46) : (random >>> 23) & 0xff
        const bits = ((random & 0x8000_0000) | (exponent << 23) | (random & 0x7f_ffff)) >>> 0
        if (!isNaNBits(bits)) checkNarrow(one, bits)
      }
    })

    it(`rounds at, below and above every midpoint between neighbours of ${name}`, () => {
      for (let half = 0; half < format.infinity; half++) {
        const next = half + 1 === format.infinity ? format.largest + (format.largest - valueOfHalf(format, half - 1)) : valueOfHalf(format, half + 1)
        const middle = (valueOfHalf(format, half) + next) / 2
        const bits = bitsOfValue(middle)
        if (valueOfBits(bits) !== middle) continue // the midpoint of the smallest bf16 subnormals lies between two f32
        for (const near of [bits - 1, bits, bits + 1]) {
          if (near < 0) continue
          checkNarrow(one, near)
          checkNarrow(one, (near | 0x8000_0000) >>> 0)
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

  it('makes of a NaN what ggml makes of it: 0x7e00 with its sign as f16, a quiet one as bf16', () => {
    assert.equal(narrowF16(0x7f80_2000), 0x7e00)
    assert.equal(narrowF16(0xffc0_0001), 0xfe00)
    assert.equal(narrowF16(0x7f80_0001), 0x7e00)
    assert.equal(narrowBf16(0x7f81_0000), 0x7fc1)
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
