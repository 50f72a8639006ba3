/** Each rule of the plan by a small case of its own; no golden data. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FormatError, MismatchError, UnsupportedError, UsageError } from '../src/core/errors.js'
import { u32, type KeyValue } from '../src/core/key-value.js'
import type { QuantType } from '../src/core/quant-types.js'
import type { NamedFileType } from '../src/quantize/file-types.js'
import { quantizeHparams, type QuantizeHparams } from '../src/quantize/policy-hparams.js'
import { parseLayers, pruneLayers } from '../src/quantize/policy-layers.js'
import { quantizePlan, type QuantizeOptions, type QuantizeRequest, type QuantizeSource } from '../src/quantize/policy.js'
import { compareTensorNames, mayQuantize } from '../src/quantize/tensor-categories.js'

const DENSE: QuantizeHparams = { layers: 32, predictionLayers: 0, heads: 32, kvHeads: 32, experts: 0 }
const SHARED: QuantizeHparams = { ...DENSE, heads: 32, kvHeads: 8 }
const EIGHT: QuantizeHparams = { ...SHARED, experts: 8 }

function matrix(name: string, shape: readonly number[] = [256, 256], storedType: QuantType = 'f16'): QuantizeSource {
  return { name, shape, storedType }
}

function layers(part: string, count: number): QuantizeSource[] {
  return Array.from({ length: count }, (_, layer) => matrix(`blk.${layer}.${part}.weight`))
}

interface Setting extends Partial<Omit<QuantizeRequest, 'fileType' | 'tensors' | 'options'>> {
  readonly options?: QuantizeOptions
}

function plan(fileType: NamedFileType | 'copy', tensors: readonly QuantizeSource[], setting: Setting = {}) {
  return quantizePlan({ architecture: 'llama', hparams: DENSE, ...setting, fileType, tensors })
}

/** Types by name, in file order. */
function types(fileType: NamedFileType | 'copy', tensors: readonly QuantizeSource[], setting: Setting = {}): Record<string, QuantType> {
  return Object.fromEntries(plan(fileType, tensors, setting).tensors.map(({ name, type }) => [name, type]))
}

/** The type of one tensor beside an output, so that the embedding is not tied. */
function typeOf(fileType: NamedFileType, name: string, setting: Setting = {}, shape?: readonly number[]): QuantType | undefined {
  return types(fileType, [matrix('output.weight'), matrix(name, shape)], setting)[name]
}

/** The layers of 32 that get a type. */
function layersOf(type: QuantType, fileType: NamedFileType, part: string, setting: Setting = {}): number[] {
  const chosen = types(fileType, layers(part, 32), setting)
  return Object.values(chosen).flatMap((one, layer) => (one === type ? [layer] : []))
}

const MORE_BITS = [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]

describe('the order of the file', () => {
  it('takes what is outside of the layers first, then layer by layer, names by code points', () => {
    const names = [
      'blk.10.a',
      'blk.2.b',
      'token_embd.weight',
      'blk.2.B',
      'output.weight',
      'blk.2.\u{1f600}',
      'blk.2.\uff5e',
      'output_norm.weight',
      'enc.blk.0.x',
    ]
    assert.deepEqual(names.toSorted(compareTensorNames), [
      'enc.blk.0.x',
      'output.weight',
      'output_norm.weight',
      'token_embd.weight',
      'blk.2.B',
      'blk.2.b',
      'blk.2.\uff5e',
      'blk.2.\u{1f600}',
      'blk.10.a',
    ])
  })

  it('stays as given with keepOrder, and is the counting order too', () => {
    const reversed = layers('ffn_down', 32).toReversed()
    const kept = plan('q4_k_s', reversed, { options: { keepOrder: true } }).tensors
    assert.deepEqual(
      kept.flatMap(({ name, type }) => (type === 'q5_k' ? [name] : [])),
      [31, 30, 29, 28].map((layer) => `blk.${layer}.ffn_down.weight`),
    )
    assert.deepEqual(layersOf('q5_k', 'q4_k_s', 'ffn_down'), [0, 1, 2, 3])
    assert.deepEqual(
      plan('q4_k_s', reversed).tensors.map(({ index }) => index),
      Array.from({ length: 32 }, (_, i) => 31 - i),
    )
  })
})

describe('what may be quantized', () => {
  const may = (name: string, shape: readonly number[] = [8, 256]): boolean => mayQuantize(name, shape, 'llama', false)

  it('has at least two dimensions, outermost ones of 1 not counted, and ends with weight', () => {
    assert.deepEqual(
      [
        may('a.weight'),
        may('a.weight', [256]),
        may('a.weight', [1, 256]),
        may('a.weight', [1, 2, 256]),
        may('a.weight', [2, 1, 256]),
        may('a.weight', []),
        may('a.bias'),
      ],
      [true, false, false, true, true, false, false],
    )
  })

  it('is no norm, router, position, convolution or other small matrix', () => {
    const kept = [
      'blk.0.attn_norm.weight',
      'blk.0.ffn_gate_inp.weight',
      'position_embd.weight',
      'token_types.weight',
      'blk.0.ssm_conv1d.weight',
      'blk.0.time_mix_w2.weight',
    ]
    for (const name of [...kept, 'v.position_embd.weight', 'blk.0.altup_router.weight', 'mm.patch_merger.weight']) assert.equal(may(name), false, name)
    for (const name of ['blk.0.ffn_gate_inp_shexp.weight', 'blk.0.time_mix_key.weight', 'token_embd.weight', 'blk.0.hc_a.weight'])
      assert.equal(may(name), true, name)
    assert.equal(mayQuantize('blk.0.hc_a.weight', [8, 256], 'glm5-next', false), false)
  })

  it('leaves the rest as it is stored, whatever the type', () => {
    const stored = [matrix('blk.0.attn_norm.weight', [256], 'f32'), matrix('blk.0.ffn_gate_inp.weight', [8, 256], 'i32')]
    for (const { quantized, type } of plan('q4_k_m', stored).tensors) assert.deepEqual([quantized, ['f32', 'i32'].includes(type)], [false, true])
  })

  it('is everything else for float types, and nothing for a copy', () => {
    const sources = [matrix('blk.0.attn_q.weight', [4, 33]), matrix('blk.0.attn_norm.weight', [256], 'f32'), matrix('output.weight', [4, 33], 'q8_0')]
    assert.deepEqual(types('f32', sources.slice(0, 2)), { 'blk.0.attn_norm.weight': 'f32', 'blk.0.attn_q.weight': 'f32' })
    assert.deepEqual(types('copy', sources), { 'output.weight': 'q8_0', 'blk.0.attn_norm.weight': 'f32', 'blk.0.attn_q.weight': 'f16' })
  })
})

describe('the head', () => {
  it('is q6_k, whatever the matrices are, and q8_0 in q8_0 and mxfp4 files', () => {
    for (const fileType of ['q4_0', 'q5_1', 'q4_k_m', 'q2_k', 'iq4_nl', 'tq1_0'] as const)
      assert.equal(types(fileType, [matrix('output.weight')])['output.weight'], 'q6_k')
    for (const fileType of ['q8_0', 'mxfp4'] as const) assert.equal(types(fileType, [matrix('output.weight')])['output.weight'], 'q8_0')
  })

  it('is q8_0 for falcon, and where rows are no whole blocks of the file type', () => {
    assert.equal(types('q4_k_m', [matrix('output.weight')], { architecture: 'falcon' })['output.weight'], 'q8_0')
    assert.equal(types('q4_k_m', [matrix('output.weight', [8, 288])])['output.weight'], 'q8_0')
    // 288 is whole for q4_0, so q6_k is chosen, and falls back
    assert.deepEqual(plan('q4_0', [matrix('output.weight', [8, 288])]).tensors[0], {
      index: 0,
      name: 'output.weight',
      type: 'q8_0',
      quantized: true,
      fallbackFrom: 'q6_k',
    })
  })

  it('is the embedding where there is no other', () => {
    assert.deepEqual(types('q4_0', [matrix('token_embd.weight')]), { 'token_embd.weight': 'q6_k' })
    assert.equal(typeOf('q4_0', 'token_embd.weight'), 'q4_0')
    assert.equal(typeOf('tq2_0', 'token_embd.weight'), 'q4_k')
  })
})

describe('the mixtures by layer', () => {
  it('give more bits to the first and last eighth and every third between', () => {
    assert.deepEqual(layersOf('q6_k', 'q4_k_m', 'ffn_down'), MORE_BITS)
    assert.deepEqual(layersOf('q6_k', 'q5_k_m', 'attn_v'), MORE_BITS)
    // of attn_v the tensors there are count, not the layers
    assert.deepEqual(Object.values(types('q4_k_m', layers('attn_v', 4))), ['q4_k', 'q4_k', 'q6_k', 'q6_k'])
  })

  it('count fused V and MLA as V', () => {
    for (const part of ['attn_qkv', 'attn_kv_b']) assert.deepEqual(layersOf('q6_k', 'q4_k_m', part), MORE_BITS)
  })

  it('begin with the first 2, 4, sixteenth or eighth', () => {
    assert.deepEqual(layersOf('q5_k', 'q3_k_m', 'attn_v'), [0, 1])
    assert.deepEqual(layersOf('q5_k', 'q4_k_s', 'attn_v'), [0, 1, 2, 3])
    assert.deepEqual(layersOf('q5_k', 'q3_k_m', 'ffn_down'), [0, 1])
    assert.deepEqual(layersOf('q5_k', 'iq4_xs', 'ffn_down'), [0, 1, 2, 3])
  })

  it('take the layer of an expert from its name, and refuse what has none', () => {
    const sparse = [
      matrix('blk.0.ffn_down_exps.weight', [4, 256, 256]),
      matrix('blk.17.ffn_down_exps.weight', [4, 256, 256]),
      matrix('blk.31.ffn_down_exps.weight', [4, 256, 256]),
    ]
    assert.deepEqual(Object.values(types('q4_k_m', sparse, { hparams: { ...SHARED, experts: 4 } })), ['q6_k', 'q4_k', 'q6_k'])
    assert.deepEqual(Object.values(types('q4_k_m', sparse)), ['q6_k', 'q6_k', 'q6_k'])
    for (const name of ['blk.32.ffn_down_exps.weight', 'mtp.ffn_up.weight']) assert.throws(() => types('q4_0', [matrix(name)], { hparams: EIGHT }), FormatError)
  })

  it('do not count what an option decided, though it is one of the Vs', () => {
    const options = { tensorTypes: [{ pattern: 'blk.0.attn_v', type: 'q8_0' as const }] }
    assert.deepEqual(Object.values(types('q3_k_m', layers('attn_v', 4), { options })), ['q8_0', 'q5_k', 'q5_k', 'q4_k'])
  })
})

describe('the mixtures by model', () => {
  it('give shared V more bits', () => {
    assert.deepEqual([typeOf('q2_k', 'blk.0.attn_v.weight'), typeOf('q2_k', 'blk.0.attn_v.weight', { hparams: SHARED })], ['q3_k', 'q4_k'])
    assert.equal(typeOf('iq4_xs', 'blk.0.attn_v.weight', { hparams: SHARED }), 'q5_k')
    assert.equal(typeOf('q2_k', 'blk.0.attn_v.weight', { hparams: { ...DENSE, heads: 0, kvHeads: 0 } }), 'q3_k')
  })

  it('know the models of 70 billion by architecture and layers', () => {
    const of = (architecture: string, hparams: QuantizeHparams): QuantType | undefined => typeOf('q3_k_s', 'blk.0.attn_v.weight', { architecture, hparams })
    const eighty = { ...SHARED, layers: 80 }
    assert.deepEqual([of('llama', eighty), of('llama', { ...eighty, kvHeads: 32 }), of('llama', SHARED), of('qwen3', eighty)], ['q5_k', 'q3_k', 'q3_k', 'q3_k'])
    assert.deepEqual([of('qwen2', { ...eighty, kvHeads: 32 }), of('jais2', { ...SHARED, layers: 68 })], ['q5_k', 'q5_k'])
    assert.equal(of('qwen2', { ...eighty, layers: 81, predictionLayers: 1 }), 'q5_k')
  })

  it('keep K and V of eight experts q8_0, and their output q5_k', () => {
    const chosen = (part: string, fileType: NamedFileType): QuantType | undefined => typeOf(fileType, `blk.0.${part}.weight`, { hparams: EIGHT })
    assert.deepEqual(
      ['attn_k', 'attn_v', 'attn_output', 'attn_q'].map((part) => chosen(part, 'q4_0')),
      ['q8_0', 'q8_0', 'q4_0', 'q4_0'],
    )
    assert.deepEqual(
      ['attn_k', 'attn_v', 'attn_output', 'attn_q'].map((part) => chosen(part, 'q4_k_m')),
      ['q8_0', 'q8_0', 'q5_k', 'q4_k'],
    )
  })

  it('treat falcon by itself', () => {
    const falcon = { architecture: 'falcon' }
    assert.deepEqual(
      [layersOf('q6_k', 'q4_k_m', 'ffn_down', falcon), layersOf('q5_k', 'q4_k_m', 'ffn_down', falcon)],
      [MORE_BITS.slice(0, 2), MORE_BITS.slice(2)],
    )
    assert.equal(typeOf('q3_k_l', 'blk.0.attn_output.weight', falcon), 'q4_k')
    assert.equal(typeOf('q2_k', 'blk.0.attn_output.weight', falcon), 'q2_k')
  })

  it('make stacked experts mxfp4 and all else q8_0', () => {
    assert.equal(typeOf('mxfp4', 'blk.0.ffn_up_exps.weight', {}, [4, 8, 64]), 'mxfp4')
    assert.equal(typeOf('mxfp4', 'blk.0.ffn_up.weight', {}, [8, 64]), 'q8_0')
    assert.equal(typeOf('mxfp4', 'blk.0.attn_k_b.weight', { architecture: 'bailingmoe3' }, [4, 8, 64]), 'q8_0')
    assert.equal(typeOf('mxfp4', 'blk.0.ffn_up_exps.weight', {}, [4, 8, 33]), 'f16')
  })
})

describe('the fallback for cut blocks', () => {
  it('goes to a type of 32, and to f16 where that does not fit either', () => {
    const of = (fileType: NamedFileType, cols: number): QuantType | undefined => typeOf(fileType, 'blk.0.attn_q.weight', {}, [8, cols])
    assert.deepEqual(
      (['q2_k', 'q3_k_s', 'q4_k_s', 'q5_k_s', 'q6_k', 'iq4_xs', 'tq1_0', 'tq2_0'] as const).map((fileType) => of(fileType, 288)),
      ['q4_0', 'q4_0', 'q5_0', 'q5_1', 'q8_0', 'iq4_nl', 'q4_0', 'q4_0'],
    )
    for (const fileType of ['q4_k_s', 'q8_0', 'q4_0', 'iq4_nl'] as const) assert.equal(of(fileType, 33), 'f16')
  })

  it('is told, by kind', () => {
    const sources = [matrix('output.weight', [8, 256]), ...[0, 1].map((layer) => matrix(`blk.${layer}.attn_q.weight`, [8, 288]))]
    assert.deepEqual(plan('q4_k_s', sources).notes, ['2 tensors are q5_0 instead of q4_k: rows of 288 elements are no whole blocks of q4_k'])
  })

  it('does not exist for types of other blocks', () => assert.throws(() => typeOf('q1_0', 'blk.0.attn_q.weight', {}, [8, 64]), UnsupportedError))
})

describe('the options', () => {
  const model = [matrix('output.weight'), matrix('token_embd.weight'), matrix('per_layer_token_embd.weight'), ...layers('attn_v', 1)]
  const names = model.map(({ name }) => name)
  const chosen = (options: QuantizeOptions, fileType: NamedFileType = 'q4_k_m'): (QuantType | undefined)[] => {
    const all = types(fileType, model, { options })
    return names.map((name) => all[name])
  }

  it('--pure gives every matrix the same type', () => assert.deepEqual(chosen({ pure: true }), ['q4_k', 'q4_k', 'q4_k', 'q4_k']))

  it('--leave-output-tensor keeps the head', () => assert.equal(chosen({ leaveOutputTensor: true })[0], 'f16'))

  it('--output-tensor-type speaks for the head, or for the embedding in its place', () => {
    assert.deepEqual(chosen({ outputTensorType: 'q5_0' }), ['q5_0', 'q4_k', 'q4_k', 'q6_k'])
    assert.deepEqual(types('q4_k_m', model.slice(1, 2), { options: { outputTensorType: 'q5_0' } }), { 'token_embd.weight': 'q5_0' })
    assert.deepEqual(types('q4_k_m', model.slice(1, 2), { options: { outputTensorType: 'q5_0', pure: true } }), { 'token_embd.weight': 'q4_k' })
  })

  it('--token-embedding-type speaks for both embeddings, unless a pattern names the second', () => {
    assert.deepEqual(chosen({ tokenEmbeddingType: 'f16' }), ['q6_k', 'f16', 'f16', 'q6_k'])
    const tensorTypes = [{ pattern: 'embd', type: 'q5_1' as const }]
    assert.deepEqual(chosen({ tokenEmbeddingType: 'f16', tensorTypes }), ['q6_k', 'f16', 'q5_1', 'q6_k'])
    assert.deepEqual(chosen({ tokenEmbeddingType: 'q8_0' }, 'bf16'), ['bf16', 'q8_0', 'q8_0', 'bf16'])
  })

  it('--tensor-type comes before --pure and the mixture, the first pattern first, and falls back too', () => {
    const tensorTypes = [
      { pattern: 'blk\\.\\d+\\.attn_(v|k)', type: 'q3_k' as const },
      { pattern: 'attn', type: 'q8_0' as const },
    ]
    assert.equal(chosen({ tensorTypes, pure: true })[3], 'q3_k')
    const [tensor] = plan('q4_k_m', [matrix('blk.0.attn_v.weight', [8, 288])], { options: { tensorTypes } }).tensors
    assert.deepEqual(tensor, {
      index: 0,
      name: 'blk.0.attn_v.weight',
      type: 'q4_0',
      quantized: true,
      fallbackFrom: 'q3_k',
      chosenBy: 'blk\\.\\d+\\.attn_(v|k)',
    })
  })

  it('are told when a pattern matches nothing, or the file is not quantized', () => {
    const options = { tensorTypes: [{ pattern: 'ffn_upp', type: 'q8_0' as const }] }
    assert.deepEqual(plan('q4_0', model, { options }).notes, ['--tensor-type ffn_upp=q8_0 matches no tensor'])
    assert.deepEqual(plan('f16', model, { options }).notes, ['--tensor-type has no effect in a file that is not quantized'])
  })

  it('refuse a type that rows do not fit', () => {
    const odd = [matrix('output.weight', [8, 288]), matrix('token_embd.weight', [8, 288])]
    assert.throws(() => plan('q4_0', odd, { options: { outputTensorType: 'q6_k' } }), MismatchError)
    assert.throws(
      () => plan('q4_0', odd, { options: { tokenEmbeddingType: 'q4_k' } }),
      /--token-embedding-type q4_k wants rows of a multiple of 256 elements, and the tensor's have 288/,
    )
  })
})

describe('stored types', () => {
  it('are copied where they are the wanted ones', () => {
    assert.deepEqual(plan('q8_0', [matrix('output.weight', [8, 256], 'q8_0')]).tensors, [{ index: 0, name: 'output.weight', type: 'q8_0', quantized: false }])
  })

  it('that are quantized are quantized again only with leave', () => {
    const stored = [matrix('output.weight', [8, 256], 'q8_0')]
    assert.throws(
      () => plan('q4_0', stored),
      (error) => error instanceof UsageError && /"output.weight".*stored as q8_0.*--allow-requantize/.test(error.message),
    )
    assert.throws(() => plan('f16', stored), UsageError)
    assert.equal(plan('q4_0', stored, { options: { allowRequantize: true } }).tensors[0]?.quantized, true)
    assert.equal(plan('q4_0', stored, { options: { dryRun: true } }).tensors[0]?.type, 'q6_k')
  })

  it('that cannot be widened are refused', () => {
    for (const storedType of ['i32', 'f64'] as const) assert.throws(() => plan('q4_0', [matrix('output.weight', [8, 256], storedType)]), UnsupportedError)
    assert.throws(() => plan('q4_0', [matrix('output.weight', [8, 256], 'iq2_xs')], { options: { allowRequantize: true } }), UnsupportedError)
  })
})

describe('importance', () => {
  const importance = (sizes: Readonly<Record<string, number>>) => ({ importance: (name: string) => sizes[name] })
  const down = layers('ffn_down', 32)

  it('changes the mixtures of q4_0, q5_0 and iq4', () => {
    const all = importance(Object.fromEntries(down.map(({ name }) => [name, 256])))
    assert.deepEqual([layersOf('q4_1', 'q4_0', 'ffn_down', all), layersOf('q4_1', 'q4_0', 'ffn_down')], [[0, 1, 2, 3], []])
    assert.deepEqual([layersOf('q5_1', 'q5_0', 'ffn_down', all), layersOf('q5_k', 'iq4_nl', 'ffn_down', all)], [[0, 1, 2, 3], []])
  })

  it('is named for each tensor that has it, and what has none is told', () => {
    const sources = [
      matrix('output.weight'),
      matrix('blk.0.attn_q.weight'),
      matrix('blk.0.attn_norm.weight', [256], 'f32'),
      matrix('blk.1.attn_q.weight', [256, 256], 'q4_0'),
    ]
    const { tensors, notes } = plan('q4_0', sources, importance({ 'blk.0.attn_q.weight': 256, 'blk.1.attn_q.weight': 256 }))
    assert.deepEqual(tensors, [
      { index: 0, name: 'output.weight', type: 'q6_k', quantized: true, lacksImportance: true },
      { index: 2, name: 'blk.0.attn_norm.weight', type: 'f32', quantized: false },
      { index: 1, name: 'blk.0.attn_q.weight', type: 'q4_0', quantized: true, importance: 'blk.0.attn_q.weight' },
      { index: 3, name: 'blk.1.attn_q.weight', type: 'q4_0', quantized: false },
    ])
    assert.deepEqual(notes, ['the importance matrix has nothing for 1 tensor: output.weight'])
  })

  it('has a weight for every column of every expert, or belongs to another model', () => {
    const stack = [matrix('blk.0.ffn_up_exps.weight', [4, 8, 256])]
    assert.equal(plan('q4_0', stack, importance({ 'blk.0.ffn_up_exps.weight': 1024 })).tensors[0]?.importance, 'blk.0.ffn_up_exps.weight')
    assert.throws(() => plan('q4_0', stack, importance({ 'blk.0.ffn_up_exps.weight': 256 })), MismatchError)
    // of embeddings it is never of any use, so it may be of any size
    assert.equal(plan('q4_0', [matrix('token_embd.weight')], importance({ 'token_embd.weight': 1 })).tensors[0]?.lacksImportance, true)
  })

  it('is needed for q2_k in q2_k_s files, but not elsewhere', () => {
    const sources = [matrix('output.weight'), matrix('token_embd.weight'), matrix('blk.0.attn_q.weight')]
    assert.throws(
      () => plan('q2_k_s', sources),
      (error) => error instanceof UsageError && /"blk.0.attn_q.weight": q2_k needs an importance matrix: add --imatrix FILE/.test(error.message),
    )
    assert.throws(() => plan('q2_k_s', sources, importance({ 'output.weight': 256 })), /nothing for this tensor/)
    assert.equal(plan('q2_k_s', sources, importance({ 'blk.0.attn_q.weight': 256 })).tensors[2]?.type, 'q2_k')
    assert.equal(plan('q2_k_s', sources, { options: { dryRun: true } }).tensors[2]?.type, 'q2_k')
    assert.equal(plan('q2_k', sources).tensors[2]?.type, 'q2_k')
  })

  it('keeps the name of the source where layers were pruned', () => {
    const sources = layers('attn_q', 3)
    const { tensors, layers: left } = plan('q4_0', sources, {
      ...importance(Object.fromEntries(sources.map(({ name }) => [name, 256]))),
      options: { pruneLayers: [1] },
    })
    assert.deepEqual(
      tensors.map(({ index, name, importance }) => [index, name, importance]),
      [
        [0, 'blk.0.attn_q.weight', 'blk.0.attn_q.weight'],
        [2, 'blk.1.attn_q.weight', 'blk.2.attn_q.weight'],
      ],
    )
    assert.equal(left, 2)
  })
})

describe('pruned layers', () => {
  it('are read from a list, in any order and doubled', () => {
    assert.deepEqual(parseLayers('--prune-layers', '11,3, 4,3'), [3, 4, 11])
    for (const bad of ['', '3,', 'x', '-1', '1.5']) assert.throws(() => parseLayers('--prune-layers', bad), UsageError)
  })

  it('leave numbers without gaps from the first of them on', () => {
    const names = ['output.weight', ...[0, 1, 2, 3, 4].map((layer) => `blk.${layer}.x`)]
    const { names: left, layers: count } = pruneLayers(names, [0, 3])
    assert.deepEqual(
      [[...left], count],
      [
        [
          ['output.weight', 'output.weight'],
          ['blk.1.x', 'blk.0.x'],
          ['blk.2.x', 'blk.1.x'],
          ['blk.4.x', 'blk.2.x'],
        ],
        3,
      ],
    )
  })

  it('must be there, and must leave one', () => {
    assert.throws(() => pruneLayers(['blk.0.x', 'blk.1.x'], [2]), /no layer 2; its layers are 0 to 1/)
    assert.throws(() => pruneLayers(['blk.0.x', 'output.weight'], [0]), /no layer would be left/)
  })
})

describe('the facts of a model', () => {
  const facts = (entries: Readonly<Record<string, KeyValue['value']>>, architecture = 'x'): QuantizeHparams =>
    quantizeHparams(
      Object.entries(entries).map(([key, value]) => ({ key: `${architecture}.${key}`, value })),
      architecture,
    )

  it('are numbers, or the first of a list by layers', () => {
    assert.deepEqual(facts({ block_count: u32(3), 'attention.head_count': { type: 'array', items: 'i32', value: [16, 8, 8] }, expert_count: u32(4) }), {
      layers: 3,
      predictionLayers: 0,
      heads: 16,
      kvHeads: 16,
      experts: 4,
    })
    assert.equal(facts({ block_count: { type: 'u64', value: 5n }, nextn_predict_layers: u32(1), 'attention.head_count_kv': u32(2) }).kvHeads, 2)
  })

  it('must tell the number of layers, in whole numbers', () => {
    assert.throws(() => facts({}), FormatError)
    assert.throws(() => facts({ block_count: u32(0) }), FormatError)
    assert.throws(() => facts({ block_count: { type: 'f32', value: 1.5 } }), FormatError)
    assert.throws(() => facts({ block_count: { type: 'string', value: '3' } }), FormatError)
    assert.equal(facts({}, 'clip').layers, 0)
  })

  it('count the layers that two architectures add', () => {
    assert.equal(facts({ block_count: u32(10), num_loops: u32(3) }, 'nanbeige').layers, 30)
    assert.equal(facts({ block_count: u32(10) }, 'graniteswitch').layers, 11)
    assert.equal(facts({ block_count: u32(10), num_loops: u32(3) }).layers, 10)
  })
})
