/** Which values a type may be given: nothing finite becomes infinite unseen, no NaN becomes a number. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { EncodedType } from '../src/core/arithmetic.js'
import { MismatchError } from '../src/core/errors.js'
import { checkRange, countNonFinite, countNonFiniteHalves } from '../src/quantize/range.js'
import { ENCODERS } from '../src/quantize/reference.js'

const PLACE = { file: 'out.gguf', tensor: 'blk.0.attn_q.weight' }

function check(type: EncodedType, values: readonly number[], { first = 0, clamp = false } = {}): number {
  return checkRange(type, Float32Array.from(values), PLACE, first, clamp)
}

function clamped(type: EncodedType, values: readonly number[]): number[] {
  const floats = Float32Array.from(values)
  checkRange(type, floats, PLACE, 0, true)
  return [...floats]
}

/** One step of f32 towards zero. */
function below(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)
  bits[0] = (bits[0] ?? 0) - 1
  return new Float32Array(bits.buffer)[0] ?? 0
}

const BF16_OVERFLOW = 2 ** 128 - 2 ** 119

describe('checkRange', () => {
  it('lets f16 take everything below 65520, which rounds to 65504', () => {
    assert.equal(check('f16', [65519.99, -65519.99, 65504, below(65520)]), 0)
  })

  it('names tensor, index and value of the first f16 overflow, and the ways out', () => {
    assert.throws(
      () => check('f16', [1, -65520, 70000], { first: 1_000_000 }),
      (error) => {
        assert.ok(error instanceof MismatchError)
        assert.equal(error.exitCode, 6)
        assert.match(
          error.message,
          /^out\.gguf: tensor "blk\.0\.attn_q\.weight": element 1000001 is -65520, .*65504.* f16 .*bf16 or q8_0, or --clamp-overflow\.$/,
        )
        return true
      },
    )
  })

  it('lets bf16 take everything that rounds to a finite value', () => {
    assert.equal(check('bf16', [below(BF16_OVERFLOW), -below(BF16_OVERFLOW)]), 0)
    assert.throws(() => check('bf16', [BF16_OVERFLOW]), /element 0 is 3\.39\S*e\+38.*f32/)
  })

  it('refuses q8_0 blocks whose scale becomes infinite as f16', () => {
    const overflow = 65520 * 127
    assert.equal(check('q8_0', [below(overflow), -below(overflow)]), 0)
    assert.throws(() => check('q8_0', [0, 0, overflow]), /element 2 is 8321040, .*q8_0/)
    // the last accepted value has a finite scale, the first refused one an infinite one
    const scale = (value: number): number => {
      const bytes = new Uint8Array(34)
      ENCODERS.q8_0(
        Float32Array.from({ length: 32 }, () => value),
        bytes,
      )
      return bytes[0]! | (bytes[1]! << 8)
    }
    assert.deepEqual([scale(below(overflow)), scale(overflow)], [0x7bff, 0x7c00])
  })

  it('lets f32 take every value', () => {
    assert.equal(check('f32', [3.4028234663852886e38, -3.4028234663852886e38, 1e-45]), 0)
  })

  it('clamps to the largest value of the type when asked, and leaves the rest alone', () => {
    assert.deepEqual(clamped('f16', [65520, -1e9, 65519, 3]), [65504, -65504, 65519, 3])
    assert.deepEqual(clamped('bf16', [BF16_OVERFLOW, -BF16_OVERFLOW]), [2 ** 128 - 2 ** 120, -(2 ** 128 - 2 ** 120)])
    assert.deepEqual(clamped('q8_0', [1e9]), [65504 * 127])
  })

  it('never clamps infinity or NaN: they are the base’s own', () => {
    assert.deepEqual(clamped('f16', [Infinity, -Infinity, Number.NaN]), [Infinity, -Infinity, Number.NaN])
  })

  for (const type of ['f32', 'f16', 'bf16'] as const) {
    it(`keeps NaN and infinity for ${type}, and counts them`, () => {
      assert.equal(check(type, [Number.NaN, 1, Infinity, -Infinity, 0]), 3)
    })
  }

  it('refuses NaN and infinity for q8_0, even when clamping', () => {
    for (const value of [Number.NaN, Infinity, -Infinity]) {
      for (const clamp of [false, true]) {
        assert.throws(
          () => check('q8_0', [1, 2, value], { first: 40, clamp }),
          (error) => error instanceof MismatchError && /element 42 is (NaN|-?Infinity), and q8_0 cannot hold it/.test(error.message),
        )
      }
    }
  })

  it('leaves every bit of the values alone', () => {
    const bits = Uint32Array.of(0x7f80_0001, 0xffc1_2345, 0x0000_0001, 0x8000_0000)
    checkRange('f16', new Float32Array(bits.buffer), PLACE, 0, true)
    assert.deepEqual([...bits], [0x7f80_0001, 0xffc1_2345, 0x0000_0001, 0x8000_0000])
  })
})

describe('counting NaN and infinity', () => {
  it('finds them in f32, f16 and bf16 by their bits', () => {
    assert.equal(countNonFinite(new Float32Array(Uint32Array.of(0x7f80_0000, 0xff80_0001, 0x7f7f_ffff, 0x7fff_ffff).buffer)), 3)
    assert.equal(countNonFiniteHalves(new Uint8Array(Uint16Array.of(0x7c00, 0xfc01, 0x7bff, 0xffff).buffer), 'F16'), 3)
    assert.equal(countNonFiniteHalves(new Uint8Array(Uint16Array.of(0x7f80, 0xff81, 0x7f7f, 0x7c00).buffer), 'BF16'), 2)
  })
})
