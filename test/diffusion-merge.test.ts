/** Adapters for diffusion pipelines, merged into models with the real names of Stable Diffusion 1.5 and SDXL, against the definition in f64. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, MismatchError, planMerge, UnsupportedError, UsageError } from '../src/index.js'
import type { MergeOptions } from '../src/host/options.js'
import {
  added,
  assertMerged,
  KOHYA,
  loraDelta,
  loraTensors,
  modelTensors,
  PEFT_NAMES,
  type Expected,
  type MadeModule,
  type Tensors,
} from './support/diffusion-adapters.js'
import { f32Tensor, readSafetensors, writeSafetensors } from './support/plain-tensors.js'
import { refused } from './support/refused.js'
import { clipModules, SD15, SDXL, unetModules, type NamedModule } from './support/stable-diffusion.js'
import { writeSideFiles } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const ones = (count: number): number[] => Array.from({ length: count }, () => 1)
const flat = (name: string): string => name.replaceAll('.', '_')
/** What sd-scripts trains: attention and convolutions, no norms. */
const isTrained = ({ shape }: NamedModule): boolean => shape.length > 1
const UNET15 = unetModules(SD15)
const UNETXL = unetModules(SDXL)
const CLIP = clipModules(2, 4)

async function merge(base: string, adapter: string, out: string, more: Partial<MergeOptions> = {}): Promise<void> {
  await execute(await planMerge({ base, adapters: [{ path: adapter }], out, ...more }))
}

/** Modules of an adapter for `modules`; alphas differ, and some are not stored. */
function made(modules: readonly NamedModule[], keyOf: (module: NamedModule) => string): MadeModule[] {
  return modules.map((module, i) => ({ key: keyOf(module), shape: module.shape, rank: 1 + (i % 3), ...(i % 4 === 3 ? {} : { alpha: 0.5 + (i % 5) }) }))
}

function expectedOf(
  base: Tensors,
  adapter: Tensors,
  modules: readonly MadeModule[],
  nameOf: (i: number) => string,
  spelling = KOHYA as readonly [string, string],
): Expected {
  return new Map(
    modules.map((module, i) => {
      const weight = base[nameOf(i)]
      assert.ok(weight, nameOf(i))
      return [nameOf(i), added(weight, loraDelta(adapter, module, spelling))]
    }),
  )
}

describe('an adapter of kohya', () => {
  for (const [model, unet, keyNaming, baseNaming] of [
    ['Stable Diffusion 1.5', UNET15, 'diffusers', 'diffusers'],
    ['Stable Diffusion 1.5', UNET15, 'diffusers', 'original'],
    ['SDXL', UNETXL, 'original', 'diffusers'],
    ['SDXL', UNETXL, 'original', 'original'],
  ] as const) {
    it(`merges into ${model}'s UNet, its keys in ${keyNaming} naming, the file in ${baseNaming} naming`, async (t) => {
      const folder = workspace(t)
      const trained = unet.filter(isTrained)
      const base = modelTensors(unet, baseNaming)
      const modules = made(trained, (module) => `lora_unet_${flat(module[keyNaming])}`)
      const adapter = loraTensors(modules)
      writeSafetensors(join(folder, 'base.safetensors'), base)
      writeSafetensors(join(folder, 'style.safetensors'), adapter, { ss_network_module: 'networks.lora' })
      await merge(join(folder, 'base.safetensors'), join(folder, 'style.safetensors'), join(folder, 'out.safetensors'))
      assertMerged(
        readSafetensors(join(folder, 'out.safetensors')),
        base,
        expectedOf(base, adapter, modules, (i) => `${trained[i]?.[baseNaming]}.weight`),
      )
    })
  }

  it('takes a matrix for a convolution of size 1, and the other way round', async (t) => {
    const folder = workspace(t)
    const base = modelTensors(UNET15, 'diffusers')
    const [linear, conv] = ['down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q', 'down_blocks.0.attentions.0.proj_in']
    const modules: MadeModule[] = [
      { key: `lora_unet_${flat(linear)}`, shape: [4, 4, 1, 1], alpha: 1 },
      { key: `lora_unet_${flat(conv)}`, shape: [4, 4], alpha: 3 },
    ]
    const adapter = loraTensors(modules)
    writeSafetensors(join(folder, 'unet.safetensors'), base)
    writeSafetensors(join(folder, 'style.safetensors'), adapter)
    await merge(join(folder, 'unet.safetensors'), join(folder, 'style.safetensors'), join(folder, 'out.safetensors'))
    const names = [`${linear}.weight`, `${conv}.weight`]
    assertMerged(
      readSafetensors(join(folder, 'out.safetensors')),
      base,
      expectedOf(base, adapter, modules, (i) => names[i] ?? ''),
    )
  })
})

/** An original checkpoint of SDXL: UNet, CLIP, OpenCLIP with fused attention, and a VAE that nothing touches. */
function sdxlCheckpoint(): { base: Tensors; fused: (layer: number) => string } {
  const second = 'conditioner.embedders.1.model.'
  const fused = (layer: number): string => `${second}transformer.resblocks.${layer}.attn.in_proj_weight`
  const base: Tensors = {
    ...modelTensors(UNETXL, 'original', 'model.diffusion_model.', 1),
    ...modelTensors(CLIP, 'diffusers', 'conditioner.embedders.0.transformer.', 2),
    ...modelTensors(CLIP, 'original', second, 3),
    'first_stage_model.encoder.conv_in.weight': f32Tensor([2, 2, 1, 1], [1, 2, 3, 4]),
  }
  const values = (count: number, from: number): number[] => Array.from({ length: count }, (_, i) => Math.fround(Math.sin(from + i)))
  for (const layer of [0, 1]) {
    base[fused(layer)] = f32Tensor([12, 4], values(48, layer * 100))
    base[fused(layer).replace('weight', 'bias')] = f32Tensor([12], values(12, layer * 7))
  }
  return { base, fused }
}

describe('an original checkpoint of SDXL', () => {
  it('takes all parts of an adapter, query, key and value each into their rows of the fused matrix', async (t) => {
    const folder = workspace(t)
    const { base, fused } = sdxlCheckpoint()
    const modules: MadeModule[] = [
      { key: 'lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k', shape: [6, 5], alpha: 1 },
      { key: 'lora_unet_output_blocks_2_2_conv', shape: [8, 8, 3, 3], alpha: 2 },
      { key: 'lora_te1_text_model_encoder_layers_1_mlp_fc1', shape: [16, 4], alpha: 1.5 },
      { key: 'lora_te2_text_model_encoder_layers_0_mlp_fc2', shape: [4, 16] },
      ...['q', 'k', 'v'].map((part, i) => ({ key: `lora_te2_text_model_encoder_layers_1_self_attn_${part}_proj`, shape: [4, 4], alpha: i + 1 })),
      { key: 'lora_te2_text_model_encoder_layers_0_self_attn_k_proj', shape: [4, 4], alpha: 1 },
    ]
    const adapter = loraTensors(modules)
    writeSafetensors(join(folder, 'sdxl.safetensors'), base)
    writeSafetensors(join(folder, 'style.safetensors'), adapter)
    await merge(join(folder, 'sdxl.safetensors'), join(folder, 'style.safetensors'), join(folder, 'out.safetensors'))
    const names = [
      'model.diffusion_model.input_blocks.4.1.transformer_blocks.1.attn2.to_k.weight',
      'model.diffusion_model.output_blocks.2.2.conv.weight',
      'conditioner.embedders.0.transformer.text_model.encoder.layers.1.mlp.fc1.weight',
      'conditioner.embedders.1.model.transformer.resblocks.0.mlp.c_proj.weight',
    ]
    const expected = expectedOf(base, adapter, modules.slice(0, 4), (i) => names[i] ?? '')
    let all = base[fused(1)]
    assert.ok(all)
    for (const [i, module] of modules.slice(4, 7).entries()) all = f32Tensor([12, 4], added(all, loraDelta(adapter, module), i * 4))
    expected.set(fused(1), added(all, new Float64Array(0)))
    const [other, ofKey] = [base[fused(0)], modules[7]]
    assert.ok(other && ofKey)
    expected.set(fused(0), added(other, loraDelta(adapter, ofKey), 4))
    assertMerged(readSafetensors(join(folder, 'out.safetensors')), base, expected)
  })

  it('refuses modules that it lacks, with the nearest names', async (t) => {
    const folder = workspace(t)
    writeSafetensors(join(folder, 'sdxl.safetensors'), sdxlCheckpoint().base)
    writeSafetensors(join(folder, 'style.safetensors'), loraTensors([{ key: 'lora_unet_input_blocks_4_1_transformer_blocks_7_attn2_to_k', shape: [6, 5] }]))
    await assert.rejects(
      merge(join(folder, 'sdxl.safetensors'), join(folder, 'style.safetensors'), join(folder, 'out.safetensors')),
      refused(
        MismatchError,
        /input_blocks_4_1_transformer_blocks_7_attn2_to_k.* of unet has no weight in the base; nearest are "input_blocks_4_1_transformer_blocks_\d_attn2_to_k"/,
      ),
    )
    assert.equal(existsSync(join(folder, 'out.safetensors')), false)
  })
})

/** The folder of a UNet as diffusers saves it: one file, or two and an index. */
function writeUnet(folder: string, base: Tensors, sharded = false, stem = 'diffusion_pytorch_model'): string {
  const names = Object.keys(base)
  const cut = sharded ? Math.floor(names.length / 2) : names.length
  const files = sharded ? [`${stem}-00001-of-00002.safetensors`, `${stem}-00002-of-00002.safetensors`] : [`${stem}.safetensors`]
  writeSideFiles(folder, { 'config.json': { _class_name: 'UNet2DConditionModel', _diffusers_version: '0.42.1' } })
  const parts = [names.slice(0, cut), names.slice(cut)].filter((part) => part.length > 0)
  parts.forEach((part, i) => writeSafetensors(join(folder, files[i] ?? ''), Object.fromEntries(part.map((name) => [name, base[name] ?? f32Tensor([], [])]))))
  if (sharded) {
    const map = parts.flatMap((part, i) => part.map((name) => [name, files[i]] as const))
    writeSideFiles(folder, { [`${stem}.safetensors.index.json`]: { metadata: {}, weight_map: Object.fromEntries(map) } })
  }
  return folder
}

const Q = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q'
const ONE: MadeModule[] = [{ key: `lora_unet_${flat(Q)}`, shape: [4, 4], alpha: 1 }]

describe('the folder of one model', () => {
  for (const sharded of [false, true]) {
    it(`keeps its names and its config, ${sharded ? 'in shards' : 'in one file'}`, async (t) => {
      const folder = workspace(t)
      const base = modelTensors(UNET15, 'diffusers')
      const adapter = loraTensors(ONE)
      writeUnet(join(folder, 'unet'), base, sharded)
      writeSafetensors(join(folder, 'style.safetensors'), adapter)
      await merge(join(folder, 'unet'), join(folder, 'style.safetensors'), join(folder, 'out'))
      assertMerged(
        readSafetensors(join(folder, 'out')),
        base,
        expectedOf(base, adapter, ONE, () => `${Q}.weight`),
      )
      assert.deepEqual(
        readdirSync(join(folder, 'out')).filter((name) => !name.endsWith('receipt.json')),
        readdirSync(join(folder, 'unet')),
      )
      assert.deepEqual(readFileSync(join(folder, 'out', 'config.json')), readFileSync(join(folder, 'unet', 'config.json')))
    })
  }

  it('is the weights without a variant, or the only variant', async (t) => {
    const folder = workspace(t)
    const base = modelTensors(UNET15, 'diffusers')
    const adapter = loraTensors(ONE)
    const expected = expectedOf(base, adapter, ONE, () => `${Q}.weight`)
    writeUnet(join(folder, 'unet'), base)
    writeSafetensors(join(folder, 'unet', 'diffusion_pytorch_model.fp16.safetensors'), { other: f32Tensor([1], [1]) })
    writeUnet(join(folder, 'fp16', 'unet'), base, false, 'diffusion_pytorch_model.fp16')
    writeSafetensors(join(folder, 'style.safetensors'), adapter)
    await merge(join(folder, 'unet'), join(folder, 'style.safetensors'), join(folder, 'a'))
    assertMerged(readSafetensors(join(folder, 'a')), base, expected)
    await merge(join(folder, 'fp16', 'unet'), join(folder, 'style.safetensors'), join(folder, 'b'))
    assert.ok(readdirSync(join(folder, 'b')).includes('diffusion_pytorch_model.fp16.safetensors'))
    assertMerged(readSafetensors(join(folder, 'b')), base, expected)
  })

  it('does not take what the adapter has for other models in silence', async (t) => {
    const folder = workspace(t)
    const base = modelTensors(UNET15, 'diffusers')
    const modules: MadeModule[] = [...ONE, { key: 'lora_te_text_model_encoder_layers_0_mlp_fc1', shape: [16, 4] }]
    const adapter = loraTensors(modules)
    const [unet, style] = [writeUnet(join(folder, 'unet'), base), join(folder, 'style.safetensors')]
    writeSafetensors(style, adapter)
    await assert.rejects(
      merge(unet, style, join(folder, 'out')),
      refused(MismatchError, /1 modules of text_encoder .* has no place in the base, which is unet.* --component unet/),
    )
    await assert.rejects(merge(unet, style, join(folder, 'out'), { components: ['text_encoder_2'] }), refused(UsageError, /holds nothing for "text_encoder_2"/))
    const plan = await planMerge({ base: unet, adapters: [{ path: style }], out: join(folder, 'out'), components: ['unet'] })
    assert.ok(plan.decisions.some((decision) => /1 modules of text_encoder are left out/.test(decision)))
    await execute(plan)
    assertMerged(
      readSafetensors(join(folder, 'out')),
      base,
      expectedOf(base, adapter, ONE, () => `${Q}.weight`),
    )
  })

  it('that may be either of two text encoders must be named', async (t) => {
    const folder = workspace(t)
    const base = modelTensors(CLIP, 'diffusers')
    const modules = ['lora_te1_', 'lora_te2_'].map((prefix): MadeModule => ({ key: `${prefix}text_model_encoder_layers_0_mlp_fc1`, shape: [16, 4], alpha: 1 }))
    const adapter = loraTensors(modules)
    const [clip, style] = [join(folder, 'clip.safetensors'), join(folder, 'style.safetensors')]
    writeSafetensors(clip, base)
    writeSafetensors(style, adapter)
    await assert.rejects(
      merge(clip, style, join(folder, 'out.safetensors')),
      refused(MismatchError, /say which with --component text_encoder or --component text_encoder_2/),
    )
    await merge(clip, style, join(folder, 'out.safetensors'), { components: ['text_encoder_2'] })
    const expected = expectedOf(base, adapter, modules.slice(1), () => 'text_model.encoder.layers.0.mlp.fc1.weight')
    assertMerged(readSafetensors(join(folder, 'out.safetensors')), base, expected)
  })
})

describe('alpha', () => {
  const run = async (t: Parameters<typeof workspace>[0], adapter: Tensors, metadata?: Record<string, string>): Promise<void> => {
    const folder = workspace(t)
    writeSafetensors(join(folder, 'unet.safetensors'), modelTensors(UNET15, 'diffusers'))
    writeSafetensors(join(folder, 'style.safetensors'), adapter, metadata)
    await merge(join(folder, 'unet.safetensors'), join(folder, 'style.safetensors'), join(folder, 'out.safetensors'))
  }
  const key = `lora_unet_${flat(Q)}`

  it('of 0, or broken, is refused', async (t) => {
    await assert.rejects(run(t, loraTensors([{ key, shape: [4, 4], alpha: 0 }])), refused(MismatchError, /alpha is 0: sd-scripts takes that for the rank/))
    await assert.rejects(run(t, loraTensors([{ key, shape: [4, 4], alpha: Number.NaN }])), refused(MismatchError, /alpha is NaN/))
  })

  it('is read in every type that numbers have', async (t) => {
    for (const [dtype, bytes] of [
      ['F16', [0x00, 0x42]],
      ['BF16', [0x40, 0x40]],
      ['F64', [...new Uint8Array(new Float64Array([3]).buffer)]],
      ['I64', [3, 0, 0, 0, 0, 0, 0, 0]],
    ] as const) {
      const folder = workspace(t)
      const base = modelTensors(UNET15, 'diffusers')
      const adapter = { ...loraTensors(ONE), [`${key}.alpha`]: { dtype, shape: dtype === 'F64' ? [1] : [], bytes: Uint8Array.from(bytes) } }
      writeSafetensors(join(folder, 'unet.safetensors'), base)
      writeSafetensors(join(folder, 'style.safetensors'), adapter)
      const plan = await planMerge({
        base: join(folder, 'unet.safetensors'),
        adapters: [{ path: join(folder, 'style.safetensors') }],
        out: join(folder, 'out.safetensors'),
      })
      assert.deepEqual(
        plan.tensors.flatMap(({ applied }) => applied.map(({ scale }) => scale)),
        [1.5],
        dtype,
      )
      assert.deepEqual(
        plan.adapters.flatMap(({ read }) => (read ?? []).map(({ tensor, sha256 }) => [tensor, sha256.length])),
        [[`${key}.alpha`, 64]],
      )
    }
  })
})

describe('an incomplete or foreign file', () => {
  const key = `lora_unet_${flat(Q)}`
  const whole = loraTensors([{ key, shape: [4, 4], alpha: 1 }])
  const [down, up] = [`${key}.lora_down.weight`, `${key}.lora_up.weight`]
  const without = (name: string): Tensors => Object.fromEntries(Object.entries(whole).filter(([one]) => one !== name))
  for (const [what, adapter, reason, error = MismatchError] of [
    ['lacks a partner', without(up), /lora_down\.weight": has no partner lora_up/],
    ['has an alpha alone', { ...whole, 'lora_unet_conv_in.alpha': f32Tensor([], [1]) }, /lora_unet_conv_in\.alpha": is alone: none of the factors/],
    ['has a tensor of another spelling', { ...whole, [`${key}.lora_side.weight`]: f32Tensor([1], [1]) }, /lora_side\.weight": .* left over/],
    ['bundles an embedding', { ...whole, 'bundle_emb.cat.clip_l': f32Tensor([1], [1]) }, /textual inversion/, UnsupportedError],
    [
      'has one module in two namings',
      { ...whole, ...loraTensors([{ key: `lora_unet_${flat(UNET15.find(({ diffusers }) => diffusers === Q)?.original ?? '')}`, shape: [4, 4] }]) },
      /changes already: its keys are in two namings/,
    ],
    ['is of another shape', loraTensors([{ key, shape: [4, 5] }]), /its update is \[4, 5\] .* is \[4, 4\]/],
    ['has another kernel', loraTensors([{ key: 'lora_unet_conv_in', shape: [4, 4, 9, 1] }]), /has shape \[2, 4, 9, 1\]/],
    ['has an empty factor', { ...whole, [down]: { dtype: 'F32', shape: [0, 4], bytes: new Uint8Array(0) } }, /is empty/],
    ['has factors that do not belong together', { ...whole, [up]: f32Tensor([4, 3], ones(12)) }, /cannot be multiplied/],
  ] as [string, Tensors, RegExp, (new (...args: never[]) => Error)?][]) {
    it(`that ${what} is refused, and nothing is left`, async (t) => {
      const folder = workspace(t)
      writeSafetensors(join(folder, 'unet.safetensors'), modelTensors(UNET15, 'diffusers'))
      writeSafetensors(join(folder, 'style.safetensors'), adapter)
      await assert.rejects(merge(join(folder, 'unet.safetensors'), join(folder, 'style.safetensors'), join(folder, 'out.safetensors')), refused(error, reason))
      assert.deepEqual(readdirSync(folder).sort(), ['style.safetensors', 'unet.safetensors'])
    })
  }
})

describe('an adapter of diffusers', () => {
  const modules: MadeModule[] = [
    { key: `unet.${Q}`, shape: [4, 4] },
    { key: 'unet.conv_in', shape: [4, 4, 3, 3], rank: 3 },
    { key: 'text_encoder.text_model.encoder.layers.0.mlp.fc1', shape: [16, 4] },
  ]
  const names = ['unet.' + Q + '.weight', 'unet.conv_in.weight', 'text_encoder.text_model.encoder.layers.0.mlp.fc1.weight']
  const base = { ...modelTensors(UNET15, 'diffusers', 'unet.', 1), ...modelTensors(CLIP, 'diffusers', 'text_encoder.', 2) }
  const run = async (
    t: Parameters<typeof workspace>[0],
    adapter: Tensors,
    metadata: Record<string, string> = { format: 'pt' },
  ): Promise<Map<string, never> | ReturnType<typeof readSafetensors>> => {
    const folder = workspace(t)
    writeSafetensors(join(folder, 'base.safetensors'), base)
    writeSafetensors(join(folder, 'lora', '..', 'pytorch_lora_weights.safetensors'), adapter, metadata)
    await merge(join(folder, 'base.safetensors'), join(folder, 'pytorch_lora_weights.safetensors'), join(folder, 'out.safetensors'))
    return readSafetensors(join(folder, 'out.safetensors'))
  }

  it('has scale 1 when nothing says otherwise', async (t) => {
    const adapter = loraTensors(modules, PEFT_NAMES)
    assertMerged(
      await run(t, adapter),
      base,
      expectedOf(base, adapter, modules, (i) => names[i] ?? '', PEFT_NAMES),
    )
  })

  it('has the scales of its metadata, patterns and all, model by model', async (t) => {
    const adapter = loraTensors(modules, PEFT_NAMES)
    const config = {
      'unet.r': 2,
      'unet.lora_alpha': 8,
      'unet.rank_pattern': { conv_in: 3 },
      'unet.alpha_pattern': { conv_in: 1 },
      'unet.use_rslora': true,
      'unet.target_modules': ['to_q'],
    }
    const scaled = [{ ...modules[0], alpha: (2 * 8) / Math.sqrt(2) }, { ...modules[1], alpha: 3 / Math.sqrt(3) }, modules[2]] as MadeModule[]
    const got = await run(t, adapter, { lora_adapter_metadata: JSON.stringify(config) })
    assertMerged(
      got,
      base,
      expectedOf(base, adapter, scaled, (i) => names[i] ?? '', PEFT_NAMES),
    )
  })

  it('whose metadata contradict its tensors is refused', async (t) => {
    const adapter = loraTensors(modules, PEFT_NAMES)
    await assert.rejects(
      run(t, adapter, { lora_adapter_metadata: '{"unet.r": 2, "unet.lora_alpha": 2}' }),
      refused(MismatchError, /conv_in.*has rank 3, but lora_adapter_metadata gives it rank 2/),
    )
    const both = loraTensors(
      modules.map((module) => ({ ...module, rank: 2, alpha: 1 })),
      PEFT_NAMES,
    )
    await assert.rejects(run(t, both, { lora_adapter_metadata: '{"unet.r": 2, "unet.lora_alpha": 2}' }), refused(MismatchError, /alpha of its own/))
  })

  it('is read in the spellings of old versions', async (t) => {
    const old = loraTensors([{ key: 'a', shape: [4, 4] }])
    const [A, B] = [old['a.lora_down.weight'], old['a.lora_up.weight']]
    assert.ok(A && B)
    const delta = loraDelta(old, { key: 'a', shape: [4, 4] })
    const attention = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1'
    const text = 'text_model.encoder.layers.1.self_attn'
    for (const [key, name] of [
      [`unet.${attention}.processor.to_out_lora`, `unet.${attention}.to_out.0.weight`],
      [`unet.${attention}.to_q.lora`, `unet.${attention}.to_q.weight`],
      [`text_encoder.${text}.to_v_lora`, `text_encoder.${text}.v_proj.weight`],
      [`text_encoder.${text}.out_proj.lora_linear_layer`, `text_encoder.${text}.out_proj.weight`],
      [`${attention}.processor.to_k_lora`, `unet.${attention}.to_k.weight`], // no model is named: only one has the module
    ] as const) {
      const weight = base[name]
      assert.ok(weight, name)
      const got = await run(t, { [`${key}.down.weight`]: A, [`${key}.up.weight`]: B })
      assertMerged(got, base, new Map([[name, added(weight, delta)]]))
    }
  })
})

describe('a file that says nothing of its scale', () => {
  it("is not merged into a language model as if it were diffusers'", async (t) => {
    const folder = workspace(t)
    const q = 'transformer.h.0.attn.c_attn'
    writeSafetensors(join(folder, 'gpt.safetensors'), { [`${q}.weight`]: f32Tensor([4, 4], ones(16)) })
    writeSafetensors(join(folder, 'lora.safetensors'), loraTensors([{ key: q, shape: [4, 4] }], PEFT_NAMES))
    await assert.rejects(
      merge(join(folder, 'gpt.safetensors'), join(folder, 'lora.safetensors'), join(folder, 'out.safetensors')),
      refused(MismatchError, /adapter_config\.json is missing/),
    )
  })
})
