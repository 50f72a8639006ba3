/** What becomes of bases that are stored quantized: read, carried over, or refused with what to use instead. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planGguf, planMerge, ToolkitError } from '../src/index.js'
import { withoutQuantization } from '../src/quantized/treatment.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { f32Tensor, readSafetensors, valuesOf, type PlainTensor } from './support/plain-tensors.js'
import { QUANTIZED_LAYOUTS, writeQuantizedModel } from './support/quantized-models.js'
import { writeAdapter, writeSideFiles } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const Q_PROJ = 'model.layers.0.self_attn.q_proj'

async function refusal(promise: Promise<unknown>): Promise<ToolkitError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof ToolkitError, String(error))
  return error
}

describe('merging into a quantized base', () => {
  it('reads FP8 as plain numbers: all tensors of the model’s own type, no quantization_config, a note', async (t) => {
    const parent = workspace(t, 'merge-fp8')
    const { folder, modules } = writeQuantizedModel(parent, 'fp8-block')
    const adapter = writeAdapter(join(parent, 'adapter'), { modules: { [Q_PROJ]: modules[Q_PROJ]! } })
    const out = join(parent, 'merged')
    const plan = await planMerge({ base: folder, adapters: [{ path: adapter }], out })
    assert.ok(plan.decisions.some((one) => one.includes('7 quantized tensors of the base (FP8)')))
    assert.deepEqual(plan.warnings, [])
    await execute(plan)
    const tensors = readSafetensors(out)
    assert.deepEqual([...new Set([...tensors.values()].map(({ dtype }) => dtype))], ['BF16'])
    assert.equal(tensors.size, 12)
    assert.ok(!readFileSync(join(out, 'config.json'), 'utf8').includes('quantization_config'))
  })

  for (const name of ['gptq4', 'awq', 'bnb-nf4', 'bnb-int8', 'ct-pack4', 'modelopt-nvfp4', 'bitnet']) {
    it(`refuses ${name}, naming the 16-bit base, and does it when asked to, with a warning`, async (t) => {
      const parent = workspace(t, 'merge-refused')
      const { folder, modules } = writeQuantizedModel(parent, name)
      const config = { base_model_name_or_path: 'some-org/Some-Model-1B-Instruct-bnb-4bit' }
      const path = writeAdapter(join(parent, 'adapter'), { modules: { [Q_PROJ]: modules[Q_PROJ]! }, config })
      const asked = { base: folder, adapters: [{ path }], out: join(parent, 'merged') }
      const error = await refusal(planMerge(asked))
      assert.equal(error.exitCode, 4)
      assert.match(error.message, /quantized \(.+\).*q_proj.*some-org\/Some-Model-1B-Instruct\?.*--dequantize-base/)
      assert.equal((await refusal(planGguf({ model: folder, adapters: asked.adapters, outfile: join(parent, 'out.gguf') }))).exitCode, 4)
      const plan = await planMerge({ ...asked, dequantizeBase: true })
      assert.match(plan.warnings.join(), /QLoRA/)
      assert.equal(plan.options['dequantizeBase'], true)
    })
  }

  it('carries quantized tensors over as they are when no adapter changes them', async (t) => {
    const parent = workspace(t, 'merge-kept')
    const { folder } = writeQuantizedModel(parent, 'gptq4')
    writeSideFiles(folder, { 'quantize_config.json': { bits: 4 } })
    const path = writeAdapter(join(parent, 'adapter'), { modules: { lm_head: [645, 64] } })
    const out = join(parent, 'merged')
    const plan = await planMerge({ base: folder, adapters: [{ path }], out })
    assert.ok(plan.decisions.some((one) => one.includes('they stay as they are')))
    await execute(plan)
    const before = readSafetensors(folder)
    const after = readSafetensors(out)
    assert.deepEqual([...after.keys()].sort(), [...before.keys()].sort())
    for (const [name, { bytes }] of after) assert.equal(Buffer.compare(bytes, before.get(name)!.bytes) === 0, name !== 'lm_head.weight', name)
    assert.ok(readFileSync(join(out, 'config.json')).equals(readFileSync(join(folder, 'config.json'))))
    assert.ok(readdirSync(out).includes('quantize_config.json'))
  })

  it('leaves behind files that describe the quantization of a base that has none any more', async (t) => {
    const parent = workspace(t, 'merge-files')
    const { folder } = writeQuantizedModel(parent, 'gptq4')
    writeSideFiles(folder, { 'quantize_config.json': { bits: 4 } })
    const path = writeAdapter(join(parent, 'adapter'), { modules: { lm_head: [645, 64] } })
    const out = join(parent, 'merged')
    await execute(await planMerge({ base: folder, adapters: [{ path }], out, dequantizeBase: true }))
    assert.ok(!readdirSync(out).includes('quantize_config.json'))
  })

  it('gives a GGUF of the bytes that merging and converting would give', async (t) => {
    const parent = workspace(t, 'merge-fused')
    for (const name of ['fp8-ragged', 'gptq4-act', 'bnb-nf4', 'ct-pack4']) {
      const { folder, modules } = writeQuantizedModel(parent, name)
      const adapters = [{ path: writeAdapter(join(parent, `${name}-adapter`), { modules, rank: 3 }) }]
      const dequantizeBase = name !== 'fp8-ragged'
      const [merged, one, two] = [join(parent, `${name}-merged`), join(parent, `${name}-1`, 'out.gguf'), join(parent, `${name}-2`, 'out.gguf')]
      await execute(await planMerge({ base: folder, adapters, out: merged, dtype: 'F32', dequantizeBase }))
      await execute(await planGguf({ model: merged, outtype: 'f32', outfile: one }))
      await execute(await planGguf({ model: folder, adapters, outtype: 'f32', outfile: two, dequantizeBase }))
      assert.ok(readFileSync(one).equals(readFileSync(two)), name)
    }
  })
})

describe('a quantized base whose tensors do not fit', () => {
  const FAULTS: readonly (readonly [string, string, (tensors: Record<string, PlainTensor>) => void, RegExp])[] = [
    ['a scale is missing', 'fp8-block', (tensors) => delete tensors[`${Q_PROJ}.weight_scale_inv`], /q_proj\.weight".*F8_E4M3 without the scales/],
    ['a weight is missing', 'fp8-block', (tensors) => delete tensors[`${Q_PROJ}.weight`], /weight_scale_inv".*needs .*q_proj\.weight/],
    [
      'scales have another shape',
      'fp8-block',
      (tensors) => (tensors[`${Q_PROJ}.weight_scale_inv`] = f32Tensor([2, 3], [1, 1, 1, 1, 1, 1])),
      /\[2, 3\].*\[2, 2\]/,
    ],
    ['zero points are missing', 'gptq4', (tensors) => delete tensors[`${Q_PROJ}.qzeros`], /qweight".*needs .*qzeros/],
    ['codes are missing', 'gptq4', (tensors) => delete tensors[`${Q_PROJ}.qweight`], /belongs to a quantized weight that is not there/],
    ['scales are of another width', 'gptq4', (tensors) => (tensors[`${Q_PROJ}.scales`] = f32Tensor([2, 63], new Float32Array(126))), /\[2, 63\].*\[2, 64\]/],
    ['the scale of a row is missing', 'ct-int8', (tensors) => delete tensors[`${Q_PROJ}.weight_scale`], /q_proj\.weight".*I8 without the scales/],
    ['the shape is missing', 'ct-pack4', (tensors) => delete tensors[`${Q_PROJ}.weight_shape`], /weight_packed".*needs .*weight_shape/],
    ['the state is missing', 'bnb-nf4', (tensors) => delete tensors[`${Q_PROJ}.weight.quant_state.bitsandbytes__nf4`], /absmax|U8 without the scales/],
    [
      'the state is no JSON',
      'bnb-nf4',
      (tensors) => (tensors[`${Q_PROJ}.weight.quant_state.bitsandbytes__nf4`] = { dtype: 'U8', shape: [4], bytes: Uint8Array.of(0, 255, 1, 2) }),
      /q_proj\.weight\.quant_state.*describe/,
    ],
    ['a weight is there twice', 'gptq4', (tensors) => (tensors[`${Q_PROJ}.weight`] = f32Tensor([64, 64], new Float32Array(4096))), /q_proj\.weight" twice/],
  ]
  for (const [fault, layout, change, message] of FAULTS) {
    it(`is refused when ${fault}`, async (t) => {
      const parent = workspace(t, 'fault')
      const { folder } = writeQuantizedModel(parent, layout, change)
      const error = await refusal(planGguf({ model: folder, outtype: 'f32', dequantizeBase: true, outfile: join(parent, 'out.gguf') }))
      assert.equal(error.exitCode, 3, error.message)
      assert.match(error.message, message)
    })
  }

  it('is refused when an input belongs to a group that is not there', async (t) => {
    const parent = workspace(t, 'group')
    const { folder } = writeQuantizedModel(parent, 'gptq4', (tensors) => {
      new DataView(tensors[`${Q_PROJ}.g_idx`]!.bytes.buffer).setInt32(20, 2, true)
    })
    const plan = await planGguf({ model: folder, outtype: 'f32', outfile: join(parent, 'out.gguf') })
    const error = await refusal(execute(plan))
    assert.match(error.message, /g_idx".*column 5 belongs to group 2; there are 2 groups/)
  })
})

describe('a method that is not read', () => {
  const METHODS: readonly (readonly [object, RegExp])[] = [
    [{ quant_method: 'aqlm' }, /AQLM.*16-bit/],
    [{ quant_method: 'hqq' }, /HQQ/],
    [{ quant_method: 'eetq' }, /EETQ/],
    [{ quant_method: 'torchao' }, /torchao/],
    [{ quant_method: 'quanto' }, /Quanto/],
    [{ quant_method: 'some\u001bthing' }, /some\\u001bthing/],
    [{ quant_method: 'gptq', bits: 3 }, /GPTQ of 3 bits/],
    [{ quant_method: 'gptq', bits: 4, checkpoint_format: 'marlin' }, /"marlin"/],
    [{ quant_method: 'awq', bits: 4, version: 'gemv' }, /"gemv"/],
    [{ quant_method: 'compressed-tensors', format: 'sparse-24-bitmask', config_groups: {} }, /sparse-24/],
    [
      {
        quant_method: 'compressed-tensors',
        format: 'pack-quantized',
        config_groups: { g: { weights: { num_bits: 4 } } },
        transform_config: { config_groups: { R1: {} } },
      },
      /rotated/,
    ],
  ]
  for (const [settings, message] of METHODS) {
    it(`is refused by name: ${JSON.stringify(settings).slice(0, 70)}`, async (t) => {
      const parent = workspace(t, 'method')
      const { folder } = writeQuantizedModel(parent, 'unread', undefined, { ...QUANTIZED_LAYOUTS['gptq4']!, settings })
      const error = await refusal(planGguf({ model: folder, dequantizeBase: true, outfile: join(parent, 'out.gguf') }))
      assert.equal(error.exitCode, 4)
      assert.match(error.message, message)
    })
  }

  it('is refused when only the names of tensors show it', async (t) => {
    const parent = workspace(t, 'names')
    const { folder } = writeQuantizedModel(parent, 'gptq4')
    writeSideFiles(folder, { 'config.json': { architectures: ['LlamaForCausalLM'], model_type: 'llama' } })
    assert.match((await refusal(planGguf({ model: folder, outfile: join(parent, 'out.gguf') }))).message, /qweight".*no quantization_config/)
  })
})

describe('converting a quantized model', () => {
  for (const [name, { converts }] of Object.entries(QUANTIZED_LAYOUTS)) {
    it(`${converts ? 'needs no option for' : 'is done only when asked for:'} ${name}`, async (t) => {
      const parent = workspace(t, 'convert')
      const { folder } = writeQuantizedModel(parent, name)
      const asked = { model: folder, outtype: 'f32', outfile: join(parent, 'out.gguf') } as const
      if (converts) assert.equal((await planGguf(asked)).kind, 'gguf')
      else assert.match((await refusal(planGguf(asked))).message, /--dequantize-base/)
      assert.equal((await planGguf({ ...asked, dequantizeBase: true })).kind, 'gguf')
      assert.equal((await planGguf({ ...asked, vocabOnly: true })).kind, 'gguf')
    })
  }

  it('takes a model for plain whose config speaks of a quantization that no tensor has', async (t) => {
    const parent = workspace(t, 'left-over')
    const { folder } = writeQuantizedModel(parent, 'plain', undefined, {
      settings: { quant_method: 'bitsandbytes', load_in_4bit: true },
      converts: true,
      linear: (_, out, inputs) => ({ tensors: { weight: f32Tensor([out, inputs], new Float32Array(out * inputs).fill(0.5)) }, values: new Float32Array(0) }),
    })
    assert.equal((await planGguf({ model: folder, outfile: join(parent, 'out.gguf') })).tensors.length, 12)
  })

  it('guesses the type from what is stored, scales too, as the reference does', async (t) => {
    const parent = workspace(t, 'guess')
    const { folder } = writeQuantizedModel(parent, 'gptq4', (tensors) => {
      for (const name of ['lm_head.weight', 'model.embed_tokens.weight']) tensors[name] = f32Tensor([645, 64], new Float32Array(645 * 64).fill(0.1))
    })
    const plan = await planGguf({ model: folder, outtype: 'auto', outfile: join(parent, '{ftype}.gguf') })
    assert.equal(plan.target, 'f16.gguf') // the scales of GPTQ are f16
  })
})

describe('names of quantized repositories', () => {
  it('lead to those of the models that they were made from', () => {
    const names = {
      'unsloth/Llama-3.2-1B-Instruct-bnb-4bit': 'unsloth/Llama-3.2-1B-Instruct',
      'unsloth/Qwen3-8B-unsloth-bnb-4bit': 'unsloth/Qwen3-8B',
      'TheBloke/Mistral-7B-v0.1-GPTQ': 'TheBloke/Mistral-7B-v0.1',
      'Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4': 'Qwen/Qwen2.5-7B-Instruct',
      'Qwen/Qwen3-8B-FP8': 'Qwen/Qwen3-8B',
      'RedHatAI/Llama-3.1-8B-quantized.w4a16': 'RedHatAI/Llama-3.1-8B',
      'meta-llama/Llama-3.1-8B': 'meta-llama/Llama-3.1-8B',
    }
    for (const [name, origin] of Object.entries(names)) assert.equal(withoutQuantization(name), origin)
  })
})

describe('the golden quantized bases', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const golden = (name: string, part: string): string => join(GOLDEN ?? '', 'merge', name, part)

  it('give what PEFT merges, and what torch dequantizes', async (t) => {
    const out = join(workspace(t, 'golden-fp8'), 'merged')
    const adapters = [{ path: golden('fp8_block_base', 'adapter') }]
    await execute(await planMerge({ base: golden('fp8_block_base', 'base'), adapters, out, dtype: 'F32' }))
    const merged = readSafetensors(out)
    const changed = readSafetensors(golden('fp8_block_base', 'expected'))
    for (const [name, tensor] of readSafetensors(golden('fp8_block_base', 'dequantized')))
      if (!changed.has(name)) assert.deepEqual(merged.get(name)?.bytes, tensor.bytes, name)
    for (const [name, tensor] of changed) {
      const own = merged.get(name)
      assert.ok(own, name)
      const [ours, theirs] = [valuesOf(own), valuesOf(tensor)]
      theirs.forEach((value, i) => assert.ok(Math.abs((ours[i] ?? Number.NaN) - value) <= 1e-6 + 2 ** -22 * Math.abs(value), `${name}[${i}]`))
    }
  })

  for (const name of ['mimic_gptq', 'mimic_bnb_nf4'])
    it(`are refused: ${name}`, async (t) => {
      const asked = { base: golden(name, 'base'), adapters: [{ path: golden(name, 'adapter') }], out: join(workspace(t, 'golden-mimic'), 'merged') }
      assert.match((await refusal(planMerge(asked))).message, /16-bit/)
    })
})
