/** Rope factors of stretched models: the very bits that torch gives. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import type { Config } from '../src/architectures/config.js'
import { ropeFactorsLlama3 } from '../src/architectures/extras.js'
import { torchPower } from '../src/architectures/torch-power.js'
import { FormatError } from '../src/core/errors.js'
import type { Json } from '../src/core/json.js'

function config(headDim: number, rope: Record<string, Json>): Config {
  return {
    file: 'config.json',
    path: '',
    values: new Map<string, Json>([
      ['head_dim', headDim],
      ['rope_parameters', new Map(Object.entries({ rope_type: 'llama3', ...rope }))],
    ]),
  }
}

// sha256 (16 digits) of the f32 bytes, little endian; conversion/llama.py's arithmetic in torch 2.15.0 on a CPU with AVX-512
const TORCH: [theta: number, headDim: number, factor: number, low: number, high: number, context: number, sha256: string][] = [
  [500000, 64, 8, 1, 4, 8192, '52d7c3ec87a87f6e'],
  [500000, 128, 8, 1, 4, 8192, '8b516af9cb5db26e'],
  [500000, 128, 32, 1, 4, 8192, 'af00a6286e9cba87'],
  [500000, 112, 32, 1, 4, 8192, '198cdbfb03aa8842'],
  [500000, 96, 4, 1, 4, 2048, '36a28d240852826c'],
  [12345.67, 120, 8, 1, 4, 128, '0afcec96318b6b77'],
  [1e6, 80, 2.5, 1.5, 6, 4096, 'd6b3d48ad5ef1cf7'],
  [10000, 4, 4, 1, 4, 2048, '76f58fc201e7e0ae'],
]

describe('rope factors of Llama 3.1', () => {
  for (const [rope_theta, headDim, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings, sha256] of TORCH) {
    it(`are torch's for theta ${rope_theta}, heads of ${headDim}, factor ${factor}`, () => {
      const [tensor] = ropeFactorsLlama3(config(headDim, { rope_theta, factor, low_freq_factor, high_freq_factor, original_max_position_embeddings }))
      assert.equal(tensor?.values.length, headDim / 2)
      const bytes = new Uint8Array(Float32Array.from(tensor?.values ?? []).buffer)
      assert.equal(createHash('sha256').update(bytes).digest('hex').slice(0, 16), sha256)
    })
  }

  it('leave short waves alone and divide long ones by the factor', () => {
    const [tensor] = ropeFactorsLlama3(config(128, { rope_theta: 500000, factor: 8 }))
    assert.deepEqual([tensor?.values[0], tensor?.values.at(-1)], [1, 8])
  })

  it('are none for other scalings', () => {
    assert.deepEqual(ropeFactorsLlama3(config(64, { rope_type: 'default' })), [])
  })

  it('are refused when they come out as no numbers', () => {
    const equalFactors = { rope_theta: 500000, factor: 8, low_freq_factor: 4, high_freq_factor: 1, original_max_position_embeddings: 8192 }
    assert.throws(() => ropeFactorsLlama3(config(64, { ...equalFactors, factor: 1e39 })), FormatError)
    assert.throws(() => ropeFactorsLlama3(config(64, { ...equalFactors, low_freq_factor: 0 })), FormatError)
  })
})

describe('powers as torch computes them', () => {
  it('are within one ulp of the true ones, and exact where that is easy', () => {
    const exponents = Array.from({ length: 64 }, (_, i) => i / 64)
    torchPower(10000, exponents).forEach((power, i) => assert(Math.abs(power / 10000 ** (i / 64) - 1) < 2 ** -23))
    assert.deepEqual(torchPower(16, [0, 0.25, 0.5, 0.75]), [1, 2, 4, 8])
    assert.deepEqual(
      torchPower(1, exponents),
      exponents.map(() => 1),
    )
  })
})
