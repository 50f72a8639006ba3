/** Rows, templates, transforms and the accounting of tensors: nothing unknown, nothing missing, nothing twice. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { compileArchitecture } from '../src/architectures/compile.js'
import { planTensors, readHparams, tensorTypeRule, type ConvertedTensor, type SourceTensor } from '../src/architectures/convert.js'
import { defineArchitecture, type Architecture, type TensorRow } from '../src/architectures/define.js'
import { TEXT_HPARAMS } from '../src/architectures/text-hparams.js'
import { skippedTensors } from '../src/architectures/match.js'
import { nearestName } from '../src/architectures/nearest.js'
import { FAMILIES, findArchitecture } from '../src/architectures/registry.js'
import { ggufTensorName, ROLES, type Role } from '../src/architectures/roles.js'
import { TemplateTrie } from '../src/architectures/templates.js'
import { FormatError, InternalError, UnsupportedError } from '../src/core/errors.js'
import { parseJsonObject } from '../src/core/json.js'
import { permutedRow } from '../src/core/row-order.js'
import { elementCount } from '../src/core/shape.js'

const CONFIG = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 10,
}

function source(name: string, shape: readonly number[]): SourceTensor {
  const tensor = {
    name,
    dtype: 'F32',
    shape,
    source: { kind: 'memory', name: 'm', bytes: new Uint8Array(), byteLength: 0 },
    offset: 0,
    byteLength: elementCount(shape) * 4,
  } as const
  return { name, shape, program: { op: 'read', tensor } }
}

function layer(i: number, prefix = 'model.'): SourceTensor[] {
  const path = `${prefix}layers.${i}.`
  return [
    source(`${path}input_layernorm.weight`, [16]),
    source(`${path}mlp.down_proj.weight`, [16, 24]),
    source(`${path}mlp.gate_proj.weight`, [24, 16]),
    source(`${path}mlp.up_proj.weight`, [24, 16]),
    source(`${path}post_attention_layernorm.weight`, [16]),
    source(`${path}self_attn.k_proj.weight`, [8, 16]),
    source(`${path}self_attn.o_proj.weight`, [16, 16]),
    source(`${path}self_attn.q_proj.weight`, [16, 16]),
    source(`${path}self_attn.v_proj.weight`, [8, 16]),
  ]
}

const TINY = [source('lm_head.weight', [10, 16]), source('model.embed_tokens.weight', [10, 16]), ...layer(0), ...layer(1), source('model.norm.weight', [16])]

function plan(tensors: readonly SourceTensor[], changes: Record<string, unknown> = {}): ConvertedTensor[] {
  const root = parseJsonObject(Buffer.from(JSON.stringify({ ...CONFIG, ...changes })), 'config.json')
  const architecture = findArchitecture(root, 'config.json')
  return planTensors(architecture, readHparams(architecture, root, 'config.json'), tensors)
}

const without = (name: string): SourceTensor[] => TINY.filter((tensor) => tensor.name !== name)

describe('tensors of a Llama', () => {
  it('keep the order they are given in, under their names in the file', () => {
    assert.deepEqual(
      plan(TINY)
        .map(({ name }) => name)
        .slice(0, 11),
      [
        'output.weight',
        'token_embd.weight',
        'blk.0.attn_norm.weight',
        'blk.0.ffn_down.weight',
        'blk.0.ffn_gate.weight',
        'blk.0.ffn_up.weight',
        'blk.0.ffn_norm.weight',
        'blk.0.attn_k.weight',
        'blk.0.attn_output.weight',
        'blk.0.attn_q.weight',
        'blk.0.attn_v.weight',
      ],
    )
  })

  it('carry role, kind, layer, shape and the names they are made of', () => {
    const q = plan(TINY).find(({ name }) => name === 'blk.1.attn_q.weight')
    assert.deepEqual([q?.role, q?.kind, q?.layer, q?.shape, q?.from], ['attnQ', 'matmul', 1, [16, 16], ['model.layers.1.self_attn.q_proj.weight']])
    assert.equal(plan(TINY)[0]?.layer, undefined)
  })

  it('have the rows of queries by heads and of keys by key heads un-permuted, biases too', () => {
    const biased = [...TINY, source('model.layers.0.self_attn.q_proj.bias', [16]), source('model.layers.0.self_attn.k_proj.bias', [8])]
    const shapes = new Map(plan(biased).flatMap(({ name, program }) => (program.op === 'permuteRows' ? [[name, [program.shape, program.order]]] : [])))
    const byHeads = [
      [4, 2, 2],
      [0, 2, 1],
    ]
    const byKeyHeads = [
      [2, 2, 2],
      [0, 2, 1],
    ]
    assert.deepEqual(Object.fromEntries(shapes), {
      'blk.0.attn_k.weight': byKeyHeads,
      'blk.0.attn_q.weight': byHeads,
      'blk.1.attn_k.weight': byKeyHeads,
      'blk.1.attn_q.weight': byHeads,
      'blk.0.attn_q.bias': byHeads,
      'blk.0.attn_k.bias': byKeyHeads,
    })
  })

  it('put the two halves of a head side by side', () => {
    const rows = Array.from({ length: 8 }, (_, row) => permutedRow([1, 2, 4], [0, 2, 1], row))
    assert.deepEqual(rows, [0, 4, 1, 5, 2, 6, 3, 7])
  })

  it('wrap the program they are given, so that a merged tensor converts like a stored one', () => {
    const q = source('model.layers.0.self_attn.q_proj.weight', [16, 16])
    const program = { op: 'add', base: q.program, deltas: [] } as const
    const merged = plan([...without(q.name), { ...q, program }]).find(({ name }) => name === 'blk.0.attn_q.weight')
    assert.equal(merged?.program.op === 'permuteRows' && merged.program.input, program)
  })

  it('may lack lm_head when the embedding is tied, or the config does not say', () => {
    for (const tied of [true, undefined]) assert.equal(plan(without('lm_head.weight'), { tie_word_embeddings: tied }).length, TINY.length - 1)
  })

  it('are incomplete without lm_head when the config says that it is not tied, with the way out', () => {
    assert.throws(
      () => plan(without('lm_head.weight'), { tie_word_embeddings: false }),
      (error: unknown) => error instanceof FormatError && /lm_head\.weight.*tie_word_embeddings/.test(error.message),
    )
  })

  it('are incomplete when one is missing, by the name the checkpoint would give it', () => {
    for (const name of ['model.norm.weight', 'model.layers.1.mlp.up_proj.weight', 'model.layers.0.input_layernorm.weight']) {
      assert.throws(
        () => plan(without(name)),
        (error: unknown) => error instanceof FormatError && error.message.includes(name),
      )
    }
  })

  it('are incomplete when config.json counts more layers, and too many when it counts fewer', () => {
    assert.throws(() => plan(TINY, { num_hidden_layers: 3 }), /lacks 9 of its tensors.*model\.layers\.2/)
    assert.throws(
      () => plan(TINY, { num_hidden_layers: 1 }),
      (error: unknown) => error instanceof FormatError && error.message.includes('model.layers.1.'),
    )
  })

  it('that no row knows are an error that lists them', () => {
    const strangers = [
      'model.layers.0.self_attn.q_norm.weight',
      'model.layers.00.mlp.up_proj.weight',
      'xmodel.norm.weight',
      'model.norm.weight.weight',
      'model.norm.bias',
      '__proto__',
      '',
    ]
    assert.throws(
      () => plan([...TINY, ...strangers.map((name) => source(name, [16]))]),
      (error: unknown) => {
        assert(error instanceof UnsupportedError)
        assert(
          error.message.includes('7 tensors have no place in LlamaForCausalLM') && error.message.includes('model.layers.0.self_attn.q_norm.weight'),
          error.message,
        )
        return true
      },
    )
  })

  it('are left out, and said, when they are buffers or belong to another modality', () => {
    const names = ['model.layers.0.self_attn.rotary_emb.inv_freq', 'vision_tower.layers.0.weight', 'model.norm.weight', 'stranger']
    assert.equal(plan([...TINY, ...names.slice(0, 2).map((name) => source(name, [4]))]).length, TINY.length)
    const root = parseJsonObject(Buffer.from(JSON.stringify(CONFIG)), 'config.json')
    assert.deepEqual(skippedTensors(findArchitecture(root, 'config.json'), { blockCount: 2 }, names), [
      { name: names[0], reason: 'buffer' },
      { name: names[1], reason: 'modality' },
    ])
  })

  it('name the tensor and the config key when rows do not split into heads', () => {
    const bad = [...without('model.layers.1.self_attn.k_proj.weight'), source('model.layers.1.self_attn.k_proj.weight', [6, 16])]
    assert.throws(
      () => plan(bad),
      (error: unknown) => {
        assert(error instanceof FormatError)
        assert.equal(error.place.tensor, 'model.layers.1.self_attn.k_proj.weight')
        assert(error.message.includes('num_key_value_heads'), error.message)
        return true
      },
    )
  })

  it('of the bare LlamaModel class lack the prefix and the head', () => {
    const bare = [source('embed_tokens.weight', [10, 16]), ...layer(0, ''), ...layer(1, ''), source('norm.weight', [16])]
    assert.equal(plan(bare, { architectures: ['LlamaModel'], tie_word_embeddings: false }).length, 20)
    assert.throws(() => plan(TINY, { architectures: ['LlamaModel'] }), UnsupportedError)
  })

  it('begin with rope factors when the positions were stretched as in Llama 3.1', () => {
    const [first] = plan(TINY, {
      rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 },
    })
    assert.deepEqual([first?.name, first?.shape, first?.from, first && tensorTypeRule(first)], ['rope_freqs.weight', [2], [], 'alwaysF32'])
  })
})

describe('rows of any family', () => {
  const compiled = (tensors: readonly TensorRow[], prefixes: readonly (readonly [string, string])[] = []): Architecture => {
    const [architecture] = compileArchitecture(
      defineArchitecture({ gguf: 'toy', huggingFace: [['Toy', { prefixes }]], modelType: 'toy', hparams: TEXT_HPARAMS, tensors, tokenizer: 'llama' }),
    )
    assert(architecture !== undefined)
    return architecture
  }
  const names = (architecture: Architecture, tensors: readonly SourceTensor[]): string[] => {
    const root = parseJsonObject(Buffer.from(JSON.stringify(CONFIG)), 'config.json')
    return planTensors(architecture, readHparams(architecture, root, 'config.json'), tensors).map(({ name }) => name)
  }

  it('say which suffixes there are: required and optional biases, biases alone, optional modules, whole names', () => {
    const toy = compiled([
      ['a', 'tokenEmbd', 'bias'],
      ['b', 'output', 'bias?'],
      ['c.gamma', 'outputNorm', 'exact'],
      ['c.beta', 'outputNorm', 'exactBias'],
      ['h.{block}.router', 'ffnGateInp', 'noWeight', 'bias'],
      ['h.{block}.q_norm', 'attnQNorm', 'optional'],
    ])
    const all = ['a.weight', 'a.bias', 'b.weight', 'c.gamma', 'c.beta', 'h.0.router.bias', 'h.1.router.bias'].map((name) => source(name, [16]))
    assert.deepEqual(names(toy, all), [
      'token_embd.weight',
      'token_embd.bias',
      'output.weight',
      'output_norm.weight',
      'output_norm.bias',
      'blk.0.ffn_gate_inp.bias',
      'blk.1.ffn_gate_inp.bias',
    ])
    assert.throws(
      () =>
        names(
          toy,
          all.filter(({ name }) => name !== 'a.bias'),
        ),
      /a\.bias/,
    )
    assert.throws(() => names(toy, [...all, source('h.0.router.weight', [4])]), UnsupportedError)
  })

  it('accept several beginnings of names, but not one tensor under both', () => {
    const toy = compiled(
      [['model.x', 'tokenEmbd']],
      [
        ['model.', ''],
        ['model.', 'language_model.model.'],
      ],
    )
    assert.deepEqual(names(toy, [source('x.weight', [2, 2])]), ['token_embd.weight'])
    assert.deepEqual(names(toy, [source('language_model.model.x.weight', [2, 2])]), ['token_embd.weight'])
    assert.throws(() => names(toy, [source('x.weight', [2, 2]), source('language_model.model.x.weight', [2, 2])]), /so is "x\.weight"/)
  })

  it('are refused when two claim one name, or disagree about layers', () => {
    assert.throws(
      () =>
        compiled([
          ['a', 'tokenEmbd'],
          ['a', 'output'],
        ]),
      InternalError,
    )
    assert.throws(
      () =>
        compiled([
          ['h.{block}.a', 'attnQ'],
          ['h.0.a', 'output'],
        ]),
      InternalError,
    )
    assert.throws(() => compiled([['h.{block}.a', 'output']]), InternalError)
  })

  it('of all families speak of Hugging Face classes once, or for configs that they tell apart', () => {
    const sure = FAMILIES.filter(({ when }) => when === undefined)
    const classes = sure.flatMap(compileArchitecture).map(({ name }) => name)
    assert.equal(new Set(classes).size, classes.length)
  })
})

describe('templates', () => {
  it('match whole names only, numbers as torch writes them', () => {
    const trie = new TemplateTrie<string>()
    trie.add('h.{block}.e.{expert}.w', 'expert')
    assert.deepEqual(trie.match('h.3.e.12.w'), [{ value: 'expert', captures: { block: 3, expert: 12 } }])
    for (const name of ['h.3.e.12', 'h.3.e.12.w.x', 'h.03.e.1.w', 'h.-1.e.1.w', 'h.1e3.e.1.w', 'h.9999999999.e.1.w', 'h..e.1.w', '.h.3.e.12.w']) {
      assert.deepEqual(trie.match(name), [], name)
    }
  })

  it('refuse a placeholder that nobody knows', () => {
    assert.throws(() => new TemplateTrie<number>().add('h.{blok}.w', 1), InternalError)
  })
})

describe('what stays f32', () => {
  // conversion/base.py decides by name; ours by kind. Both must say the same for every role.
  const EXACT_IN_REFERENCE = new Set([
    ...['position_embd', 'token_types'],
    ...[
      ...['ffn_gate_inp', 'ffn_gate_inp_shexp', 'ssm_conv1d', 'ssm_conv1d_q', 'ssm_conv1d_k', 'ssm_conv1d_v', 'shortconv.conv', 'indexer.proj'],
      ...['time_mix_first', 'time_mix_w1', 'time_mix_w2', 'time_mix_decay_w1', 'time_mix_decay_w2', 'time_mix_lerp_fused'],
      ...['altup_correct_coef', 'altup_predict_coef'],
    ].map((name) => `blk.{block}.${name}`),
  ])
  for (const role of Object.keys(ROLES) as Role[]) {
    it(`is decided for ${role} as the reference decides by its name`, () => {
      const { gguf, kind } = ROLES[role]
      const byName = gguf.endsWith('_norm') || EXACT_IN_REFERENCE.has(gguf) ? 'alwaysF32' : 'outtype'
      if (kind !== 'factors') assert.equal(tensorTypeRule({ kind, shape: [4, 4] }), byName)
      assert.equal(tensorTypeRule({ kind, shape: [4] }), 'alwaysF32')
      assert.equal(tensorTypeRule({ kind: 'bias', shape: [4, 4] }), 'alwaysF32')
    })
  }

  it('has one name per role', () => {
    const ggufNames = (Object.keys(ROLES) as Role[]).map((role) => ggufTensorName(role, '.weight', 0))
    assert.equal(new Set(ggufNames).size, ggufNames.length)
  })
})

describe('nearest name', () => {
  it('is the one with the fewest edits, whatever the case', () => {
    assert.equal(nearestName('mistralforcausallm', ['LlamaForCausalLM', 'MistralForCausalLM']), 'MistralForCausalLM')
  })

  it('is none when nothing is near', () => {
    assert.equal(nearestName('zzzzzzzzzzzzzzzz', ['LlamaForCausalLM']), undefined)
  })
})
