/** The plain encoders: against the reference's bytes, and against bytes worked out by hand. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { InternalError, MismatchError } from '../src/core/errors.js'
import { quantBytes } from '../src/core/quant-types.js'
import { converterType } from '../src/quantize/file-types.js'
import { checkRange } from '../src/quantize/range.js'
import { ENCODERS } from '../src/quantize/reference.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

function encode(type: keyof typeof ENCODERS, values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(quantBytes(type, values.length))
  ENCODERS[type](values, bytes)
  return bytes
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** A q8_0 block: the first values as given, zeros after them. */
function block(...values: number[]): Float32Array {
  const floats = new Float32Array(32)
  floats.set(values)
  return floats
}

function floatsOfBits(...bits: number[]): Float32Array {
  return new Float32Array(Uint32Array.from(bits).buffer)
}

const ZEROS = (count: number): string => '00'.repeat(count)

describe('the q8_0 encoder', () => {
  it('stores the scale as f16 and rounds ties away from zero', () => {
    // largest 127, so d = 1 and every quotient is the value itself
    assert.equal(hex(encode('q8_0', block(127, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 0.49999997, -0.49999997, -127))), `003c7f01ff02fe03fd000081${ZEROS(22)}`)
  })

  it('divides by the f32 scale, not by the stored f16 one', () => {
    // d = 100/127, stored as 0x3a4d, which is larger: 50 / d is the tie 63.5, with the f16 scale it would be 63.49
    assert.equal(hex(encode('q8_0', block(100, 50, -50))), `4d3a7f40c0${ZEROS(29)}`)
  })

  it('writes a zero block as zeros, of both signs', () => {
    assert.equal(hex(encode('q8_0', block())), ZEROS(34))
    assert.equal(hex(encode('q8_0', block(-0, 0, -0))), ZEROS(34))
  })

  it('keeps the steps of a block whose f16 scale is subnormal or rounds to zero, as the reference does', () => {
    // d = 2^-24: the smallest f16
    assert.equal(hex(encode('q8_0', block(127 * 2 ** -24, -64 * 2 ** -24))), `01007fc0${ZEROS(30)}`)
    // d = 2^-26 is zero as f16, but the quotients are still made with the f32
    assert.equal(hex(encode('q8_0', block(127 * 2 ** -26, -127 * 2 ** -26))), `00007f81${ZEROS(30)}`)
    // d is so small that 1 / d is infinite: the reference's casts give 0
    assert.equal(hex(encode('q8_0', block(1e-38, -1e-38))), ZEROS(34))
  })

  it('takes each block of 32 by itself', () => {
    const values = new Float32Array(64)
    values[0] = 127
    values[32] = 254
    values[33] = 2
    assert.equal(hex(encode('q8_0', values)), `003c7f${ZEROS(31)}00407f01${ZEROS(30)}`)
  })

  it('refuses rows that are no whole blocks', () => {
    assert.throws(() => ENCODERS.q8_0(new Float32Array(33), new Uint8Array(64)), InternalError)
  })
})

describe('the float encoders', () => {
  it('write f32 as it is, NaN payloads too', () => {
    assert.equal(hex(encode('f32', floatsOfBits(0x3f80_0000, 0x7f80_0001, 0xffc1_2345, 0x8000_0000))), '0000803f0100807f4523c1ff00000080')
  })

  it('write f16 and bf16 to the nearest, ties to even', () => {
    assert.equal(hex(encode('f16', Float32Array.of(1, -2, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519.99, 2 ** -24))), '003c00c0003c023cff7b0100')
    assert.equal(hex(encode('bf16', Float32Array.of(1, -2, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1e-40))), '803f00c0803f823f0100')
  })
})

describe('the type of a tensor', () => {
  it('falls back to f16 where rows are no whole blocks, and stays f32 where the converter says so', () => {
    assert.deepEqual(
      (
        [
          ['q8_0', false, 64],
          ['q8_0', false, 33],
          ['q8_0', true, 64],
          ['bf16', false, 33],
          ['f32', false, 1],
        ] as const
      ).map(([fileType, staysF32, cols]) => converterType(fileType, staysF32, cols, 'blk.0.attn_q.weight')),
      ['q8_0', 'f16', 'f32', 'bf16', 'f32'],
    )
  })
})

describe('the golden quants', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN === undefined) return
  const folder = join(GOLDEN, 'quants')
  interface Listing {
    readonly inputs: Readonly<Record<string, { readonly file: string; readonly rows: number; readonly cols: number }>>
    readonly outputs: Readonly<Record<string, { readonly sha256: string; readonly nbytes: number }>>
  }
  const { inputs, outputs } = JSON.parse(readFileSync(join(folder, 'quants.json'), 'utf8')) as Listing
  const types: readonly (keyof typeof ENCODERS)[] = ['q8_0', 'f16', 'bf16']
  const read = (name: string): Float32Array => new Float32Array(new Uint8Array(readFileSync(join(folder, inputs[name]?.file ?? ''))).buffer)
  const place = { file: 'quants', tensor: 'x' }
  const isFinite = (values: Float32Array): boolean => values.every((value) => Number.isFinite(value))

  for (const type of types) {
    for (const name of Object.keys(inputs)) {
      const expected = outputs[`${type.toUpperCase()}/${name}`]
      if (expected === undefined) continue
      const values = read(name)
      const overflows = type === 'f16' && values.some((value) => Number.isFinite(value) && Math.abs(value) >= 65520)
      const badScale = type === 'q8_0' && values.some((value) => Number.isFinite(value) && Math.abs(value) >= 65520 * 127)
      if (isFinite(values) && !overflows && !badScale) {
        it(`encodes ${name} as ${type} in the reference's bytes`, () => {
          checkRange(type, values, place, 0, false)
          const bytes = encode(type, values)
          assert.equal(bytes.byteLength, expected.nbytes)
          assert.equal(createHash('sha256').update(bytes).digest('hex'), expected.sha256)
        })
      } else if (overflows || type === 'q8_0') {
        it(`refuses ${name} as ${type}, which cannot hold it`, () => {
          assert.throws(() => checkRange(type, values, place, 0, false), MismatchError)
        })
      } else {
        it(`keeps the NaN and infinity of ${name} in ${type}, and counts them`, () => {
          const broken = values.filter((value) => !Number.isFinite(value)).length
          assert.equal(checkRange(type, values, place, 0, false), broken)
          const halves = new Uint16Array(encode(type, values).buffer)
          const infinity = type === 'f16' ? 0x7c00 : 0x7f80
          values.forEach((value, i) => {
            const magnitude = (halves[i] ?? 0) & 0x7fff
            assert.equal(magnitude > infinity, Number.isNaN(value), `${i}`)
            assert.equal(magnitude === infinity, Math.abs(value) === Infinity, `${i}`)
          })
        })
      }
    }
  }

  it('hold cases of every kind', () => {
    for (const type of types)
      assert.ok(
        Object.keys(outputs).some((name) => name.startsWith(`${type.toUpperCase()}/`)),
        type,
      )
  })
})
