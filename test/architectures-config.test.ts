/** What config.json may say: defaults, the two generations of rope settings, and numbers that cannot be. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { architectureKeyValues, readHparams } from '../src/architectures/convert.js'
import { FAMILIES, findArchitecture, supportedArchitectures } from '../src/architectures/registry.js'
import { FormatError, UnsupportedError } from '../src/core/errors.js'
import { parseJsonObject, type JsonObject } from '../src/core/json.js'
import type { KeyValue } from '../src/core/key-value.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const PLAIN = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 100,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: false,
  max_position_embeddings: 128,
}

function config(changes: Record<string, unknown> = {}): JsonObject {
  return parseJsonObject(Buffer.from(JSON.stringify({ ...PLAIN, ...changes })), 'config.json')
}

function keyValues(root: JsonObject): KeyValue[] {
  const architecture = findArchitecture(root, 'config.json')
  return architectureKeyValues(architecture, readHparams(architecture, root, 'config.json'), 1)
}

function written(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return Object.fromEntries(keyValues(config(changes)).map(({ key, value }) => [key, value.value]))
}

describe('architecture of a config', () => {
  it('is found by the first name in architectures', () => {
    assert.equal(findArchitecture(config({ architectures: ['MistralForCausalLM', 'Other'] }), 'config.json').gguf, 'llama')
  })

  it("is the text model's own where its part of the config names one", () => {
    const root = config({ architectures: ['SomethingForConditionalGeneration'], text_config: { architectures: ['LlamaForCausalLM'] } })
    assert.equal(findArchitecture(root, 'config.json').name, 'LlamaForCausalLM')
  })

  for (const name of ['constructor', '__proto__', 'toString', 'EvilForCausalLM', 'x'.repeat(100_000)]) {
    it(`is unsupported, with its name, when it is ${name.slice(0, 20)}`, () => {
      assert.throws(
        () => findArchitecture(config({ architectures: [name] }), 'config.json'),
        (error: unknown) => {
          assert(error instanceof UnsupportedError)
          assert(error.message.includes(name.slice(0, 20)) && error.message.length < 500, error.message)
          return true
        },
      )
    })
  }

  it('names the nearest supported one', () => {
    assert.throws(() => findArchitecture(config({ architectures: ['LlamaForCasualLM'] }), 'config.json'), /the nearest that is: LlamaForCausalLM/)
  })

  for (const [what, value] of [
    ['missing', undefined],
    ['a string', 'LlamaForCausalLM'],
    ['empty', []],
    ['a list of numbers', [1]],
    ['null', null],
  ] as const) {
    it(`is a format error when architectures is ${what}`, () => {
      assert.throws(() => findArchitecture(config({ architectures: value }), 'config.json'), FormatError)
    })
  }

  it('is listed', () => {
    const listed = supportedArchitectures()
    assert.equal(listed[0], 'LlamaForCausalLM')
    assert.equal(new Set(listed).size, listed.length)
    for (const name of listed) assert.equal(findArchitecture(config({ architectures: [name] }), 'config.json').name, name)
  })
})

describe('metadata of a Llama', () => {
  it('is written in the reference order with its types', () => {
    assert.deepEqual(keyValues(config()), [
      { key: 'llama.block_count', value: { type: 'u32', value: 2 } },
      { key: 'llama.context_length', value: { type: 'u32', value: 128 } },
      { key: 'llama.embedding_length', value: { type: 'u32', value: 64 } },
      { key: 'llama.feed_forward_length', value: { type: 'u32', value: 128 } },
      { key: 'llama.attention.head_count', value: { type: 'u32', value: 4 } },
      { key: 'llama.attention.head_count_kv', value: { type: 'u32', value: 2 } },
      { key: 'llama.rope.freq_base', value: { type: 'f32', value: 10000 } },
      { key: 'llama.attention.layer_norm_rms_epsilon', value: { type: 'f32', value: Math.fround(1e-5) } },
      { key: 'llama.attention.key_length', value: { type: 'u32', value: 16 } },
      { key: 'llama.attention.value_length', value: { type: 'u32', value: 16 } },
      { key: 'general.file_type', value: { type: 'u32', value: 1 } },
      { key: 'llama.vocab_size', value: { type: 'u32', value: 100 } },
      { key: 'llama.rope.dimension_count', value: { type: 'u32', value: 16 } },
    ])
  })

  it('fills in what transformers fills in: key and value heads, context, epsilon, theta', () => {
    const old = { num_key_value_heads: undefined, max_position_embeddings: undefined, rms_norm_eps: undefined, rope_theta: undefined }
    const kv = written(old)
    assert.deepEqual([kv['llama.attention.head_count_kv'], kv['llama.context_length'], kv['llama.rope.freq_base']], [4, 2048, 10000])
    assert.equal(kv['llama.attention.layer_norm_rms_epsilon'], Math.fround(1e-6))
    assert.equal(written({ num_attention_heads: 16, model_type: 'mistral', ...old })['llama.attention.head_count_kv'], 8)
  })

  it('takes null for missing where a value can be derived', () => {
    const kv = written({ num_key_value_heads: null, head_dim: null })
    assert.deepEqual([kv['llama.attention.head_count_kv'], kv['llama.attention.key_length']], [4, 16])
  })

  it('writes the head size of a Mistral config that has none, as transformers 5 does', () => {
    assert.equal(written({ architectures: ['MistralForCausalLM'], model_type: 'mistral' })['llama.attention.key_length'], 16)
  })

  it('lets head_dim differ from hidden size / heads', () => {
    const kv = written({ head_dim: 32 })
    assert.deepEqual([kv['llama.attention.key_length'], kv['llama.rope.dimension_count']], [32, 32])
  })

  it('fills in nothing for a model type that transformers does not know, as the reference then reads config.json raw', () => {
    const kv = written({ model_type: 'llama-of-our-own' })
    assert.equal(kv['llama.attention.key_length'], undefined)
    assert.equal(kv['llama.rope.dimension_count'], 16)
  })

  it('reads the text model of a config that has several parts', () => {
    const kv = written({ hidden_size: 7, text_config: { ...PLAIN, hidden_size: 32, rope_theta: 5000 } })
    assert.deepEqual([kv['llama.embedding_length'], kv['llama.rope.freq_base']], [32, 5000])
  })

  it('reads both generations of rope settings alike', () => {
    const yarn = { factor: 4, original_max_position_embeddings: 32, beta_fast: 16 }
    const v4 = keyValues(config({ rope_theta: 1e6, rope_scaling: { type: 'yarn', ...yarn } }))
    const v5 = keyValues(config({ rope_theta: undefined, rope_parameters: { rope_type: 'yarn', rope_theta: 1e6, ...yarn } }))
    assert.deepEqual(v4, v5)
    assert.deepEqual(
      v4.filter(({ key }) => key.startsWith('llama.rope.')).map(({ key, value }) => [key, value.value]),
      [
        ['llama.rope.scaling.type', 'yarn'],
        ['llama.rope.scaling.factor', 4],
        ['llama.rope.scaling.original_context_length', 32],
        ['llama.rope.scaling.yarn_beta_fast', 16],
        ['llama.rope.freq_base', 1e6],
        ['llama.rope.dimension_count', 16],
      ],
    )
  })

  it('writes linear scaling, and takes the whole context for the length before yarn where none is given', () => {
    const linear = written({ rope_scaling: { type: 'linear', factor: 2.5 } })
    assert.deepEqual([linear['llama.rope.scaling.type'], linear['llama.rope.scaling.factor']], ['linear', 2.5])
    const length = (root: object, section: object): unknown =>
      written({ ...root, rope_scaling: { rope_type: 'yarn', factor: 2, ...section } })['llama.rope.scaling.original_context_length']
    const [root, section] = [{ original_max_position_embeddings: 77 }, { original_max_position_embeddings: 64 }]
    assert.deepEqual([length({}, {}), length(root, {}), length(root, section)], [128, 77, 64])
  })

  it('writes no scaling for llama3, dynamic and default', () => {
    for (const type of ['llama3', 'dynamic', 'default'])
      assert.equal(written({ rope_scaling: { rope_type: type, factor: 2 } })['llama.rope.scaling.type'], undefined)
  })
})

describe('configs that cannot be', () => {
  const cases: [what: string, changes: Record<string, unknown>, key: string][] = [
    ['a size of zero', { hidden_size: 0 }, 'hidden_size'],
    ['a negative size', { hidden_size: -64 }, 'hidden_size'],
    ['a size in a string', { hidden_size: '64' }, 'hidden_size'],
    ['a fraction', { intermediate_size: 1.5 }, 'intermediate_size'],
    ['a truth value for a number', { num_key_value_heads: true }, 'num_key_value_heads'],
    ['no heads', { num_attention_heads: 0 }, 'num_attention_heads'],
    ['heads that do not divide the hidden size', { num_attention_heads: 5 }, 'num_attention_heads'],
    ['one layer more than llama.cpp holds', { num_hidden_layers: 513 }, 'num_hidden_layers'],
    ['a thousand million layers', { num_hidden_layers: 1e9 }, 'num_hidden_layers'],
    ['no number of layers', { num_hidden_layers: undefined }, 'num_hidden_layers'],
    ['no vocabulary size', { vocab_size: undefined }, 'vocab_size'],
    ['an integer beyond what llama.cpp reads', { max_position_embeddings: 2 ** 31 }, 'max_position_embeddings'],
    ['a head larger than memory should hold', { head_dim: 65_537 }, 'head_dim'],
    ['a negative epsilon', { rms_norm_eps: -1 }, 'rms_norm_eps'],
    ['an epsilon that f32 cannot hold', { rms_norm_eps: 1e300 }, 'rms_norm_eps'],
    ['theta zero', { rope_theta: 0 }, 'rope_theta'],
    ['theta in a string', { rope_theta: '1e4' }, 'rope_theta'],
    ['rope settings that are a list', { rope_scaling: [] }, 'rope_scaling'],
    ['a rope type that is a number', { rope_scaling: { type: 3 } }, 'rope_scaling.rope_type'],
    ['a negative rope factor', { rope_scaling: { type: 'linear', factor: -2 } }, 'rope_scaling.factor'],
  ]
  for (const [what, changes, key] of cases) {
    it(`are refused with the key: ${what}`, () => {
      assert.throws(
        () => keyValues(config(changes)),
        (error: unknown) => {
          assert(error instanceof FormatError, String(error))
          assert(error.message.startsWith('config.json: ') && error.message.includes(key), error.message)
          return true
        },
      )
    })
  }

  it('are accepted at the limit', () => {
    assert.equal(written({ num_hidden_layers: 512 })['llama.block_count'], 512)
    assert.equal(written({ max_position_embeddings: 2 ** 31 - 1 })['llama.context_length'], 2 ** 31 - 1)
    assert.equal(written({ rms_norm_eps: 0 })['llama.attention.layer_norm_rms_epsilon'], 0)
  })

  it('are unsupported when only the rope scaling is unknown', () => {
    assert.throws(
      () => keyValues(config({ rope_scaling: { type: 'spiral', factor: 2 } })),
      (error: unknown) => error instanceof UnsupportedError && error.message.includes('spiral'),
    )
  })
})

describe('hostile configs', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  interface Row {
    path: string
    kind: string
    expect: 'accept' | 'reject'
    main: string
  }
  const manifest = GOLDEN === undefined ? undefined : join(GOLDEN, 'hostile', 'manifest.json')
  const { files } = manifest !== undefined && existsSync(manifest) ? (JSON.parse(readFileSync(manifest, 'utf8')) as { files: Row[] }) : { files: [] }
  for (const { path, expect, main } of files.filter(({ kind }) => kind === 'config')) {
    it(`${expect} ${path}`, () => {
      const convert = (): unknown => keyValues(parseJsonObject(readFileSync(join(GOLDEN ?? '', 'hostile', main)), 'config.json'))
      if (expect === 'accept') convert()
      else assert.throws(convert, (error: unknown) => error instanceof FormatError || (error instanceof UnsupportedError && path.includes('arch')))
    })
  }
})

describe('config defaults', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  it('are those of transformers 5.23', () => {
    const text = readFileSync(join(GOLDEN ?? '', 'config-defaults-5.23.json'), 'utf8').replaceAll('Infinity', 'null') // Python writes what JSON has not
    const { defaults } = JSON.parse(text) as { defaults: Record<string, Record<string, unknown>> }
    for (const [modelType, { missing, derived = {} }] of FAMILIES.flatMap(({ defaults = {} }) => Object.entries(defaults))) {
      if (defaults[modelType] === undefined) continue // newer than the golden list
      const rope = (defaults[modelType]?.['rope_parameters'] ?? {}) as Record<string, Record<string, number>>
      const local = { rope_local_base_freq: rope['sliding_attention']?.['rope_theta'] }
      const golden = { ...local, ...defaults[modelType], ...rope, ...rope['full_attention'] } as unknown as Record<string, number>
      for (const [key, value] of Object.entries(missing)) assert.equal(value, golden[key], `${modelType} ${key}`)
      for (const [key, derivation] of Object.entries(derived)) {
        if (key in missing) continue
        const value = 'same' in derivation ? golden[derivation.same] : (golden[derivation.quotient[0]] ?? NaN) / (golden[derivation.quotient[1]] ?? NaN)
        assert.equal(value, golden[key], `${modelType} ${key}`)
      }
    }
  })
})
