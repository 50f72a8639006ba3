import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openAdapterFile } from '../src/adapters/formats.js'
import { patternLookup } from '../src/adapters/peft/patterns.js'
import { openPeftAdapter } from '../src/adapters/peft/peft.js'
import { refusedPeftType } from '../src/adapters/peft/peft-types.js'
import { KEY_SUFFIXES, splitKey } from '../src/adapters/key-suffixes.js'
import { FileSystemError, FormatError, MismatchError, UnsupportedError, UsageError } from '../src/core/errors.js'
import { HANG_MS } from './support/hang.js'
import { adapterFolder, factors, loraConfig, safetensors, type Tensors } from './support/adapters.js'
import { refused } from './support/refused.js'
import { memoryFolder } from './support/memory-folder.js'

const Q = 'model.layers.0.self_attn.q_proj'
const K = 'model.layers.0.self_attn.k_proj'
const PLAIN = factors(Q, 6, 5)
const open = async (tensors: Tensors, config: string | Record<string, unknown> = {}) => openPeftAdapter(adapterFolder(tensors, config))

describe('opening a PEFT adapter', () => {
  it('gives modules, ranks, scales and JSON-able facts', async () => {
    const file = await open({ ...PLAIN, ...factors('lm_head', 6, 9) }, { lora_alpha: 5, peft_version: '0.21.2', target_modules: ['q_proj', 'lm_head'] })
    assert.deepEqual(
      file.modules.map(({ name, rank, alpha, scale }) => [name, rank, alpha, scale]),
      [
        [Q, 2, 5, 2.5],
        ['lm_head', 2, 5, 2.5],
      ],
    )
    assert.deepEqual(file.files, ['adapter_model.safetensors', 'adapter_config.json'])
    assert.deepEqual(file.notes, [])
    assert.deepEqual(JSON.parse(JSON.stringify(file.facts)), {
      format: 'PEFT',
      peftType: 'LORA',
      peftVersion: '0.21.2',
      baseModel: 'x/y',
      taskType: 'CAUSAL_LM',
      rank: 2,
      alpha: 5,
      rankStabilized: false,
      fanInFanOut: false,
      targetModules: ['q_proj', 'lm_head'],
      scales: [2.5],
      modules: [
        { module: Q, in: 6, out: 5, rank: 2, alpha: 5, scale: 2.5, dtype: 'F32' },
        { module: 'lm_head', in: 6, out: 9, rank: 2, alpha: 5, scale: 2.5, dtype: 'F32' },
      ],
    })
  })

  it('divides by the square root of the rank for rsLoRA', async () =>
    assert.equal((await open(PLAIN, { use_rslora: true, lora_alpha: 3 })).modules[0]?.scale, 3 / Math.sqrt(2)))

  it('takes rank and alpha from the patterns before anything else', async () => {
    const file = await open(factors(Q, 6, 5, 3), { r: 8, rank_pattern: { 'layers\\.\\d+\\..*q_proj': 3 }, alpha_pattern: { q_proj: 0.5 }, use_rslora: true })
    assert.deepEqual(
      file.modules.map(({ rank, alpha, scale }) => [rank, alpha, scale]),
      [[3, 0.5, 0.5 / Math.sqrt(3)]],
    )
  })

  it('ignores fields that it does not know, and inert values of those that it refuses', async () => {
    const inert = {
      use_dora: false,
      lora_bias: null,
      modules_to_save: [],
      kasa_config: null,
      alora_invocation_tokens: [],
      bias: null,
      rank_pattern: null,
      alpha_pattern: {},
    }
    assert.equal((await open(PLAIN, { ...inert, qalora_group_size: 16, loftq_config: {}, some_future_field: { x: [1] } })).modules.length, 1)
  })

  for (const init of [true, false, 'gaussian', 'orthogonal', 'eva', 'mica']) {
    it(`takes init_lora_weights ${init} for plain LoRA`, async () => assert.equal((await open(PLAIN, { init_lora_weights: init })).modules.length, 1))
  }

  for (const init of ['pissa', 'pissa_niter_16', 'olora', 'corda', 'lora_ga', 'loftq', 'PiSSA']) {
    it(`refuses init_lora_weights ${init}, which changed the base`, async () =>
      assert.rejects(open(PLAIN, { init_lora_weights: init }), refused(UnsupportedError, /changes the base before training/)))
  }

  it('takes such an adapter when the base given is the changed one', async () => {
    const { modules, notes } = await openAdapterFile(adapterFolder(PLAIN, { init_lora_weights: 'pissa' }), undefined, { baseIsResidual: true })
    assert.equal(modules.length, 1)
    assert.match(notes.join(), /"pissa" left/)
  })

  for (const [field, value] of Object.entries({
    layer_replication: [[0, 2]],
    alora_invocation_tokens: [7],
    arrow_config: { top_k: 3 },
    use_qalora: true,
    init_lora_weights: 'not_invented_yet',
  })) {
    it(`refuses ${field} by name, and names the peft_type`, async () =>
      assert.rejects(open(PLAIN, { [field]: value }), refused(UnsupportedError, new RegExp(`adapter_config\\.json: peft_type LORA with "${field}"`))))
  }

  for (const [field, value] of [
    ['r', '8'],
    ['r', 0],
    ['r', 65_537],
    ['r', 1.5],
    ['r', undefined],
    ['r', true],
    ['lora_alpha', undefined],
    ['lora_alpha', '16'],
    ['lora_alpha', [16]],
    ['use_rslora', 1],
    ['fan_in_fan_out', 'no'],
    ['rank_pattern', [8]],
    ['rank_pattern', { q_proj: 2.5 }],
    ['rank_pattern', { q_proj: 0 }],
    ['alpha_pattern', { q_proj: '1' }],
    ['target_modules', 7],
    ['target_modules', [7]],
    ['peft_type', undefined],
    ['peft_type', 5],
    ['base_model_name_or_path', 3],
  ] as const) {
    it(`refuses ${field} ${JSON.stringify(value)}, naming the field`, async () =>
      assert.rejects(open(PLAIN, { [field]: value }), refused(FormatError, new RegExp(`"${field}"`))))
  }

  it('accepts the largest rank and refuses a scale that f32 cannot hold', async () => {
    assert.equal((await open(factors(Q, 1, 1, 65_536), { r: 65_536 })).modules[0]?.rank, 65_536)
    await assert.rejects(open(PLAIN, { lora_alpha: 1e39 }), refused(FormatError, /scale too large/))
  })

  it('knows every peft_type of PEFT 0.21.2, and says what can never be merged', () => {
    assert.equal(refusedPeftType('LORA'), undefined)
    assert.match(refusedPeftType('PREFIX_TUNING') ?? '', /cannot be merged.*virtual tokens/)
    assert.equal(refusedPeftType('LOHA'), undefined)
    assert.match(refusedPeftType('FOURIERFT') ?? '', /random numbers.*merge_and_unload/)
    assert.match(refusedPeftType('PSOFT') ?? '', /singular value/)
    assert.match(refusedPeftType('NEW_LORA') ?? '', /not known/)
  })
})

describe('tensors of a PEFT adapter', () => {
  const [A, B] = [`base_model.model.${Q}.lora_A.weight`, `base_model.model.${Q}.lora_B.weight`]

  it('needs both factors', async () => {
    await assert.rejects(open({ [A]: [2, 6] }), refused(MismatchError, /lora_A\.weight": has no partner lora_B/))
    await assert.rejects(open({ [B]: [5, 2] }), refused(MismatchError, /lora_B\.weight": has no partner lora_A/))
  })

  it('holds both factors to the configured rank', async () => {
    await assert.rejects(open({ [A]: [3, 6], [B]: [5, 3] }), refused(MismatchError, /lora_A.*rank 3, but adapter_config\.json gives it rank 2 \("r"\)/))
    await assert.rejects(open({ [A]: [2, 6], [B]: [5, 3] }), refused(MismatchError, /lora_B.*rank 3/))
    await assert.rejects(open(PLAIN, { rank_pattern: { q_proj: 4 } }), refused(MismatchError, /gives it rank 4 \("rank_pattern"\)/))
  })

  it('refuses empty factors with the way out of ZeRO-3', async () => assert.rejects(open({ [A]: [0], [B]: [5, 2] }), refused(MismatchError, /ZeRO-3/)))
  it('refuses vectors', async () => assert.rejects(open({ [A]: [2, 6], [B]: [10] }), refused(MismatchError, /two dimensions/)))
  it('takes convolutions', async () => assert.equal((await open({ [A]: [2, 6, 3, 3], [B]: [5, 2, 1, 1] })).modules.length, 1))
  it('needs the magnitudes of DoRA', async () => assert.rejects(open(PLAIN, { use_dora: true }), refused(MismatchError, /lora_magnitude_vector/)))
  it('refuses factors that are not plain floats', async () =>
    assert.rejects(open({ [A]: { shape: [2, 6], dtype: 'I8' }, [B]: [5, 2] }), refused(UnsupportedError, /I8/)))
  it('refuses a file without tensors', async () => assert.rejects(open({}), refused(MismatchError, /no LoRA tensors at all/)))

  for (const [key, kind, reason] of [
    ['base_model.model.model.embed_tokens.lora_embedding_A', MismatchError, /lora_embedding_B/],
    [`base_model.model.${K}.lora_magnitude_vector`, MismatchError, /without lora_A and lora_B/],
    [`base_model.model.${K}.lora_B.bias`, MismatchError, /without lora_A and lora_B/],
    [`base_model.model.${Q}.lora_A`, UnsupportedError, /loralib/],
    [`base_model.model.${Q}.hada_w1_a`, UnsupportedError, /LoHa, which peft_type LORA does not have/],
    ['base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta', MismatchError, /two dimensions/],
    [`base_model.model.${Q}.modules_to_save.default.scale`, UnsupportedError, /neither weight nor bias/],
    [`base_model.model.${Q}.lora_C.weird`, MismatchError, /left over/],
    ['lora_A.weight', MismatchError, /left over/],
    ['weight', MismatchError, /left over/],
  ] as const) {
    it(`leaves no tensor over: ${key}`, async () =>
      assert.rejects(
        open({ ...PLAIN, [key]: [5] }),
        (error: unknown) => refused(kind, reason)(error) && refused(kind, new RegExp(key.replaceAll('.', '\\.')))(error),
      ))
  }

  it('takes the adapter name inside keys, but only one', async () => {
    const named = (name: string): Tensors => ({
      [`base_model.model.${Q}.lora_A.${name}.weight`]: [2, 6],
      [`base_model.model.${Q}.lora_B.${name}.weight`]: [5, 2],
    })
    assert.deepEqual(
      (await open(named('my-style'))).modules.map(({ name }) => name),
      [Q],
    )
    await assert.rejects(open({ ...named('a'), ...named('b') }), refused(MismatchError, /another adapter/))
    await assert.rejects(open({ ...PLAIN, ...named('default') }), refused(MismatchError, /another adapter/))
  })

  it('cuts a key at the last marker, so that a module may be called like one', () => {
    assert.equal(splitKey('attn.base_layer.out_proj.lora_A.weight')?.module, 'attn.base_layer.out_proj')
    assert.equal(splitKey('token_adapter.fc.lora_A.weight')?.module, 'token_adapter.fc')
    assert.equal(new Set(KEY_SUFFIXES.map(({ marker, tail }) => `${marker}/${tail}`)).size, KEY_SUFFIXES.length)
  })
})

describe('target_modules', () => {
  it('is not needed: lists only make notes', async () => {
    assert.deepEqual((await open(PLAIN, { target_modules: ['self_attn.q_proj'] })).notes, [])
    assert.deepEqual((await open(PLAIN, { target_modules: [Q] })).notes, [])
    assert.match((await open(PLAIN, { target_modules: ['_proj'] })).notes[0] ?? '', /1 modules are outside target_modules/)
  })

  it('as a pattern must match some module', async () => {
    assert.deepEqual((await open(PLAIN, { target_modules: '.*\\.(q|k)_proj' })).notes, [])
    assert.deepEqual((await open(PLAIN, { target_modules: 'all-linear' })).notes, [])
    await assert.rejects(open(PLAIN, { target_modules: 'q_proj' }), refused(MismatchError, /matches none of the 1 modules/))
    await assert.rejects(open(PLAIN, { target_modules: '((' }), refused(FormatError, /regular expression/))
  })

  it('may use what only a backtracking matcher knows', async () =>
    assert.equal((await open(PLAIN, { target_modules: '^(?!.*visual).*q_proj' })).modules.length, 1))

  it('keeps the classifiers that PEFT names by default as they are, and says so', async () => {
    assert.match((await open(PLAIN, { task_type: 'SEQ_CLS', modules_to_save: ['classifier', 'score'] })).notes[0] ?? '', /modules_to_save/)
    const trained = await open({ ...PLAIN, 'base_model.model.score.weight': [2, 6] }, { modules_to_save: ['score'] })
    assert.deepEqual([trained.notes, trained.modules.map(({ kind }) => kind)], [[], ['lora', 'whole']])
  })
})

describe('rank_pattern and alpha_pattern', () => {
  const lookup = (patterns: Record<string, number>) => patternLookup(new Map(Object.entries(patterns)), 'rank_pattern', 'adapter_config.json')

  it('match a whole name, or its end after a dot', () => {
    const rank = lookup({ q_proj: 1, 'mlp.up_proj': 2, 'down_pro.': 3 })
    assert.deepEqual(['q_proj', Q, 'x.my_q_proj', 'q_proj.x', 'a.mlp.up_proj', 'a.mlpXup_proj', 'down_proj', 'down_pro'].map(rank), [
      1,
      1,
      undefined,
      undefined,
      2,
      2,
      3,
      undefined,
    ])
  })

  it('take the first in file order', () => {
    assert.equal(lookup({ 'self_attn\\..*': 1, q_proj: 2 })(Q), 1)
    assert.equal(lookup({ q_proj: 2, 'self_attn\\..*': 1 })(Q), 2)
  })

  it('anchor with ^ at the whole name only', () => {
    const rank = lookup({ '^model\\.layers\\.0\\..*': 1 })
    assert.deepEqual([rank(Q), rank(`x.${Q}`)], [1, undefined])
  })

  it('give plain names the meaning that the general matcher gives them', () => {
    for (const key of ['q_proj', 'a.b', 'a\\.b', '.', '\\.', 'x-1', '..']) {
      const [plain, general] = [lookup({ [key]: 1 }), lookup({ [`(?:${key})`]: 1 })]
      for (const name of ['q_proj', 'x.q_proj', 'a.b', 'aXb', 'c.a.b', 'c.aXb', '.', 'a.', 'a.😀', '😀', 'x-1', 'x-1\n', 'c.x-1\n', 'ab', ''])
        assert.equal(plain(name), general(name), `${key} on ${JSON.stringify(name)}`)
    }
  })

  it('never hang, and refuse what Python would hang on', () => {
    assert.throws(() => lookup({ '(a+)+$': 2 }), refused(UnsupportedError, /"\(a\+\)\+\$".*repeats a repeat/))
    assert.throws(() => lookup({ '(?=q)q_proj': 2 }), refused(UnsupportedError, /lookahead/))
    assert.throws(() => lookup({ '((': 2 }), refused(FormatError, /regular expression/))
    const started = performance.now()
    assert.equal(lookup({ '(a|a)*b': 2 })('a'.repeat(20_000)), undefined)
    assert.ok(performance.now() - started < HANG_MS)
  })

  it('stay fast with a key for every module of a large mixture of experts', () => {
    const names = Array.from({ length: 6000 }, (_, i) => `model.layers.${i % 60}.mlp.experts.${Math.floor(i / 60)}.up_proj`)
    const rank = patternLookup(new Map(names.map((name, i) => [name, i])), 'rank_pattern', 'adapter_config.json')
    const started = performance.now()
    assert.deepEqual(
      names.map(rank).filter((value, i) => value !== i),
      [],
    )
    assert.ok(performance.now() - started < HANG_MS)
  })
})

describe('recognising adapters', () => {
  const bytes = new Uint8Array(8)
  for (const [what, files, kind, reason] of [
    ['an adapter_model.bin that was never written', { 'adapter_config.json': loraConfig(), 'adapter_model.bin': bytes }, FormatError, /begins with zeros/],
    ['a config without weights', { 'adapter_config.json': loraConfig(), 'README.md': '' }, FileSystemError, /adapter_model\.safetensors is not/],
    [
      'an MLX-LM adapter that was never written',
      { 'adapter_config.json': '{"fine_tune_type":"lora","lora_parameters":{"rank":8,"scale":20.0}}', 'adapters.safetensors': bytes },
      FormatError,
      /adapters\.safetensors/,
    ],
    [
      'a bottleneck adapter of AdapterHub',
      {
        'adapter_config.json': '{"config":{"reduction_factor":16},"config_id":"9076f36a","model_class":"LlamaModel","hidden_size":32}',
        'pytorch_adapter.bin': bytes,
      },
      UnsupportedError,
      /AdapterHub.*act at run time/,
    ],
    ['LitGPT without its model_config.yaml', { 'lit_model.pth.lora': bytes, 'hyperparameters.yaml': '' }, FileSystemError, /model_config\.yaml/],
    ['a .pt that was never written', { 'lora.pt': bytes }, FormatError, /begins with zeros/],
    ['PEFT tensors without their config', { 'style.safetensors': safetensors(PLAIN) }, UnsupportedError, /tensors without a config/],
    ['a GGUF that was never written', { 'lora.gguf': bytes }, FormatError, /lora\.gguf/],
    ['a whole model', { 'config.json': '{}', 'model.safetensors': bytes }, UsageError, /this is a whole model.*nothing to merge: run to-gguf on it/],
    ['an empty folder', {}, FileSystemError, /nothing found/],
  ] as const) {
    it(`refuses ${what} by name`, async () => assert.rejects(openAdapterFile(memoryFolder(files, 'some-folder')), refused(kind, reason)))
  }

  it('lists the checkpoints of a training output and names the newest', async () => {
    const folder = { ...memoryFolder({ 'trainer_state.json': '{}' }, 'output'), folders: ['checkpoint-1000', 'checkpoint-500', 'runs'] }
    await assert.rejects(openAdapterFile(folder), refused(FileSystemError, /"checkpoint-500", "checkpoint-1000".*newest is "checkpoint-1000"/))
  })

  it('takes the weights file that the user named, with the config next to it', async () => {
    const folder = memoryFolder({
      'adapter_config.json': loraConfig(),
      'renamed.safetensors': safetensors(PLAIN),
      'adapter_model.safetensors': safetensors({}),
    })
    const file = await openAdapterFile(folder, 'renamed.safetensors')
    assert.deepEqual([file.modules.length, file.files[0]], [1, 'renamed.safetensors'])
  })
})
