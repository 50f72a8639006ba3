/** Whole diffusion pipelines: what adapters touch is merged, everything else is copied byte for byte. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, FileSystemError, MismatchError, planMerge, UsageError } from '../src/index.js'
import type { MergeOptions } from '../src/host/options.js'
import { added, assertMerged, loraDelta, loraTensors, modelTensors, PEFT_NAMES, type MadeModule, type Tensors } from './support/diffusion-adapters.js'
import { readSafetensors, writeSafetensors } from './support/plain-tensors.js'
import { refused } from './support/refused.js'
import { clipModules, SDXL, unetModules } from './support/stable-diffusion.js'
import { writeSideFiles } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const UNET = modelTensors(unetModules({ ...SDXL, depths: [0, 1, 1], middleDepth: 1 }), 'diffusers', '', 1)
const CLIP = modelTensors(clipModules(2, 4), 'diffusers', '', 2)
const CLIP2 = modelTensors(clipModules(3, 4), 'diffusers', '', 3)
const RECEIPT = 'lora-to-gguf.receipt.json'

/** An SDXL pipeline, with everything that such folders have. */
function writePipeline(folder: string): string {
  writeSideFiles(folder, {
    'model_index.json': {
      _class_name: 'StableDiffusionXLPipeline',
      scheduler: ['diffusers', 'EulerDiscreteScheduler'],
      text_encoder: ['transformers', 'CLIPTextModel'],
      text_encoder_2: ['transformers', 'CLIPTextModelWithProjection'],
      tokenizer: ['transformers', 'CLIPTokenizer'],
      unet: ['diffusers', 'UNet2DConditionModel'],
      vae: ['diffusers', 'AutoencoderKL'],
      image_encoder: [null, null],
      force_zeros_for_empty_prompt: true,
    },
    'README.md': 'a model card',
    'scheduler/scheduler_config.json': { _class_name: 'EulerDiscreteScheduler' },
    'tokenizer/vocab.json': { a: 0 },
    'tokenizer/merges.txt': 'a b\n',
    'unet/config.json': { _class_name: 'UNet2DConditionModel' },
    'text_encoder/config.json': { architectures: ['CLIPTextModel'] },
    'text_encoder_2/config.json': { architectures: ['CLIPTextModelWithProjection'] },
    'vae/config.json': { _class_name: 'AutoencoderKL' },
    'vae/nested/deeper/notes.txt': 'kept',
  })
  writeSafetensors(join(folder, 'unet', 'diffusion_pytorch_model.safetensors'), UNET)
  writeSafetensors(join(folder, 'text_encoder', 'model.safetensors'), CLIP)
  writeSafetensors(join(folder, 'text_encoder_2', 'model.safetensors'), CLIP2)
  writeSafetensors(join(folder, 'vae', 'diffusion_pytorch_model.safetensors'), CLIP, { format: 'pt', odd: 'kept as it is' })
  writeFileSync(
    join(folder, 'vae', 'diffusion_pytorch_model.fp16.bin'),
    Uint8Array.from({ length: 70_000 }, (_, i) => i),
  )
  return folder
}

const Q = 'down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q'
const FC = 'text_model.encoder.layers.1.mlp.fc1'
const MODULES: MadeModule[] = [
  { key: `lora_unet_${Q.replaceAll('.', '_')}`, shape: [6, 6], alpha: 1 },
  { key: `lora_te1_${FC.replaceAll('.', '_')}`, shape: [16, 4], alpha: 2 },
  { key: `lora_te2_${FC.replaceAll('.', '_')}`, shape: [16, 4], alpha: 3 },
]

async function merge(folder: string, adapters: readonly string[], more: Partial<MergeOptions> = {}): Promise<string> {
  const out = join(folder, 'out')
  await execute(await planMerge({ base: join(folder, 'sdxl'), adapters: adapters.map((path) => ({ path: join(folder, path) })), out, ...more }))
  return out
}

/** Every file below a folder, by its path, but receipts. */
function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== RECEIPT)
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}

function expected(base: Tensors, adapter: Tensors, module: MadeModule | undefined, name: string, spelling?: typeof PEFT_NAMES): Map<string, Float64Array> {
  const weight = base[name]
  assert.ok(weight && module)
  return new Map([[name, added(weight, loraDelta(adapter, module, spelling))]])
}

describe('a diffusion pipeline', () => {
  it('gets each part of an adapter into its model, and keeps every other byte', async (t) => {
    const folder = workspace(t)
    const base = writePipeline(join(folder, 'sdxl'))
    const adapter = loraTensors(MODULES)
    writeSafetensors(join(folder, 'style.safetensors'), adapter)
    const out = await merge(folder, ['style.safetensors'])
    assert.deepEqual(filesOf(out), filesOf(base))
    assertMerged(readSafetensors(join(out, 'unet')), UNET, expected(UNET, adapter, MODULES[0], `${Q}.weight`))
    assertMerged(readSafetensors(join(out, 'text_encoder')), CLIP, expected(CLIP, adapter, MODULES[1], `${FC}.weight`))
    assertMerged(readSafetensors(join(out, 'text_encoder_2')), CLIP2, expected(CLIP2, adapter, MODULES[2], `${FC}.weight`))
    const merged = /^(?:unet|text_encoder|text_encoder_2)\/(?:diffusion_pytorch_)?model\.safetensors$/
    for (const name of filesOf(base)) if (!merged.test(name)) assert.deepEqual(readFileSync(join(out, name)), readFileSync(join(base, name)), name)
    const receipt = JSON.parse(readFileSync(join(out, RECEIPT), 'utf8')) as {
      adapters: { tensorCount: number; read: unknown[] }[]
      tensors: { name: string }[]
    }
    assert.deepEqual([receipt.adapters[0]?.tensorCount, receipt.adapters[0]?.read.length], [3, 3])
    assert.ok(receipt.tensors.some(({ name }) => name === `unet/${Q}.weight`))
  })

  it('is merged into one model alone when only that is asked for', async (t) => {
    const folder = workspace(t)
    const base = writePipeline(join(folder, 'sdxl'))
    const adapter = loraTensors(MODULES)
    writeSafetensors(join(folder, 'style.safetensors'), adapter)
    const out = await merge(folder, ['style.safetensors'], { components: ['text_encoder_2'] })
    assertMerged(readSafetensors(join(out, 'text_encoder_2')), CLIP2, expected(CLIP2, adapter, MODULES[2], `${FC}.weight`))
    for (const name of ['unet/diffusion_pytorch_model.safetensors', 'text_encoder/model.safetensors'])
      assert.deepEqual(readFileSync(join(out, name)), readFileSync(join(base, name)), name)
  })

  it('combines several adapters as the model alone does', async (t) => {
    const folder = workspace(t)
    writePipeline(join(folder, 'sdxl'))
    const adapters = [4, 5].map((seed) => {
      const path = join(folder, `${seed}.safetensors`)
      writeSafetensors(path, loraTensors(MODULES.slice(0, 1), undefined, seed))
      return { path, weight: seed / 4 }
    })
    const unet = async (base: string, combine: MergeOptions['combine']): Promise<Buffer> => {
      const out = join(folder, `${base}-${combine}`)
      await execute(await planMerge({ base: join(folder, base), adapters, out, combine }))
      return readFileSync(join(out, base === 'sdxl' ? 'unet' : '.', 'diffusion_pytorch_model.safetensors'))
    }
    const [whole, alone, sum] = [await unet('sdxl', 'linear'), await unet('sdxl/unet', 'linear'), await unet('sdxl', 'sum')]
    assert.deepEqual(whole, alone)
    assert.notDeepEqual(whole, sum)
  })

  it('takes several adapters with weights, each into what it touches', async (t) => {
    const folder = workspace(t)
    writePipeline(join(folder, 'sdxl'))
    const [first, second] = [loraTensors(MODULES.slice(0, 2), undefined, 4), loraTensors(MODULES.slice(1), undefined, 5)]
    writeSafetensors(join(folder, 'a.safetensors'), first)
    writeSafetensors(join(folder, 'b.safetensors'), second)
    const adapters = [
      { path: join(folder, 'a.safetensors'), weight: 0.5 },
      { path: join(folder, 'b.safetensors'), weight: -2 },
    ]
    for (const [i, order] of [adapters, adapters.toReversed()].entries())
      await execute(await planMerge({ base: join(folder, 'sdxl'), adapters: order, out: join(folder, `out${i}`) }))
    const [own, weight] = [MODULES[1], CLIP[`${FC}.weight`]]
    assert.ok(own && weight)
    const [a, b] = [loraDelta(first, own), loraDelta(second, own)]
    const sum = added(
      weight,
      a.map((value, i) => 0.5 * value - 2 * (b[i] ?? 0)),
    )
    assertMerged(readSafetensors(join(folder, 'out0', 'text_encoder')), CLIP, new Map([[`${FC}.weight`, sum]]))
    for (const name of filesOf(join(folder, 'out0'))) assert.deepEqual(readFileSync(join(folder, 'out1', name)), readFileSync(join(folder, 'out0', name)), name)
  })

  it("takes diffusers' and PEFT's adapters too", async (t) => {
    const folder = workspace(t)
    writePipeline(join(folder, 'sdxl'))
    const module: MadeModule = { key: `unet.${Q}`, shape: [6, 6] }
    const adapter = loraTensors([module], PEFT_NAMES)
    mkdirSync(join(folder, 'lora'))
    writeSafetensors(join(folder, 'lora', 'pytorch_lora_weights.safetensors'), adapter)
    assertMerged(readSafetensors(join(await merge(folder, ['lora']), 'unet')), UNET, expected(UNET, adapter, module, `${Q}.weight`, PEFT_NAMES))
    rmSync(join(folder, 'out'), { recursive: true })
    const peft: MadeModule = { key: `base_model.model.${Q}`, shape: [6, 6], alpha: 6 }
    const factors = loraTensors([{ ...peft, alpha: 2 }], PEFT_NAMES)
    delete factors[`${peft.key}.alpha`]
    writeSideFiles(join(folder, 'peft'), { 'adapter_config.json': { peft_type: 'LORA', r: 2, lora_alpha: 6, target_modules: ['to_q'] } })
    writeSafetensors(join(folder, 'peft', 'adapter_model.safetensors'), factors)
    assertMerged(readSafetensors(join(await merge(folder, ['peft']), 'unet')), UNET, expected(UNET, factors, peft, `${Q}.weight`, PEFT_NAMES))
  })

  it('leaves out weights that would be taken for merged ones, and says so', async (t) => {
    const folder = workspace(t)
    const base = writePipeline(join(folder, 'sdxl'))
    writeSafetensors(join(base, 'unet', 'diffusion_pytorch_model.fp16.safetensors'), UNET)
    writeSafetensors(join(base, 'sd_xl_base_1.0.safetensors'), CLIP)
    writeSafetensors(join(folder, 'style.safetensors'), loraTensors(MODULES))
    const out = await merge(folder, ['style.safetensors'])
    assert.deepEqual(
      filesOf(base).filter((name) => !filesOf(out).includes(name)),
      ['sd_xl_base_1.0.safetensors', 'unet/diffusion_pytorch_model.fp16.safetensors'],
    )
    assert.match(readFileSync(join(out, RECEIPT), 'utf8'), /2 files hold weights that are not merged, and are left out/)
  })

  it('without the model of a part of the adapter is refused', async (t) => {
    const folder = workspace(t)
    const base = writePipeline(join(folder, 'sdxl'))
    writeSafetensors(join(folder, 'style.safetensors'), loraTensors([...MODULES, { key: 'lora_te3_encoder_block_0_layer_0_SelfAttention_q', shape: [4, 4] }]))
    await assert.rejects(merge(folder, ['style.safetensors']), refused(MismatchError, /1 modules of text_encoder_3 .*has no place in the base/))
    rmSync(join(base, 'text_encoder_2'), { recursive: true })
    await assert.rejects(merge(folder, ['style.safetensors']), refused(FileSystemError, /names "text_encoder_2", of which there is no folder/))
    assert.equal(existsSync(join(folder, 'out')), false)
  })

  it('goes into a folder, never over itself', async (t) => {
    const folder = workspace(t)
    const base = writePipeline(join(folder, 'sdxl'))
    writeSafetensors(join(folder, 'style.safetensors'), loraTensors(MODULES))
    await assert.rejects(merge(folder, ['style.safetensors'], { out: join(folder, 'out.safetensors') }), refused(UsageError, /OUT is a folder/))
    await assert.rejects(merge(folder, ['style.safetensors'], { out: base }), refused(UsageError, /input/))
    const inside = await planMerge({ base, adapters: [{ path: join(folder, 'style.safetensors') }], out: join(base, 'unet') })
    await assert.rejects(execute(inside, { force: true }))
    await assert.rejects(merge(folder, ['style.safetensors'], { components: ['vae'] }), refused(UsageError, /"unet"/))
  })
})
