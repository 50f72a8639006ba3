/** Modules of Stable Diffusion are found by either of their names, with dots or flattened. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { otherUnetNames } from '../src/adapters/diffusion/unet-names.js'
import { PartNames } from '../src/adapters/diffusion/part-names.js'
import { partsNamed, partsOf } from '../src/adapters/diffusion/parts.js'
import { MismatchError } from '../src/core/errors.js'
import type { TensorInfo } from '../src/core/tensor-info.js'
import { baseOf } from './support/adapters.js'
import { refused } from './support/refused.js'
import { clipModules, SD15, SDXL, unetModules, type NamedModule } from './support/stable-diffusion.js'

const flat = (name: string): string => name.replaceAll('.', '_')

function tensors(modules: readonly NamedModule[], naming: 'diffusers' | 'original', prefix = ''): Map<string, TensorInfo> {
  return baseOf(Object.fromEntries(modules.filter((one) => one[naming] !== '').map((one) => [`${prefix}${one[naming]}.weight`, one.shape])))
}

describe('the two names of modules', () => {
  for (const [model, plan] of [
    ['Stable Diffusion 1.5', SD15],
    ['SDXL', SDXL],
  ] as const) {
    const modules = unetModules(plan)
    for (const [naming, other] of [
      ['diffusers', 'original'],
      ['original', 'diffusers'],
    ] as const) {
      it(`are both known of every module of ${model}'s UNet in ${naming} naming`, () => {
        const names = otherUnetNames(modules.map((one) => one[naming]))
        for (const one of modules) assert.equal(names.get(one[naming]), one[other])
      })

      it(`lead to the tensor, flattened or not, in ${model}'s ${naming} naming`, () => {
        const [part] = partsOf(tensors(modules, naming))
        assert.ok(part)
        const names = new PartNames(part)
        for (const one of modules) {
          for (const name of [one.diffusers, one.original]) {
            assert.equal(names.find(name, false, {})?.pieces[0]?.weight?.name, `${one[naming]}.weight`)
            assert.equal(names.find(flat(name), true, {})?.pieces[0]?.weight?.name, `${one[naming]}.weight`)
          }
        }
      })
    }
  }

  it('are no matter for other models', () => assert.equal(otherUnetNames(['model.layers.0.self_attn.q_proj', 'lm_head']).size, 0))

  it('of CLIP are known with and without text_model., and as OpenCLIP has them', () => {
    const modules = clipModules(3, 4)
    for (const prefix of ['', 'text_model.']) {
      const own = modules.map((one) => ({ ...one, diffusers: prefix === '' ? one.diffusers.slice('text_model.'.length) : one.diffusers }))
      const [part] = partsOf(tensors(own, 'diffusers'), 'text_encoder')
      assert.ok(part)
      const names = new PartNames(part)
      own.forEach((one, i) => assert.equal(names.find(flat(modules[i]?.diffusers ?? ''), true, {})?.pieces[0]?.weight?.name, `${one.diffusers}.weight`))
    }
    const fused = baseOf({ 'transformer.resblocks.0.attn.in_proj_weight': [12, 4], 'transformer.resblocks.0.attn.in_proj_bias': [12] })
    const [part] = partsOf(new Map([...tensors(modules, 'original'), ...fused]))
    assert.ok(part)
    const names = new PartNames(part)
    for (const one of modules.filter(({ original }) => original !== ''))
      assert.equal(names.find(flat(one.diffusers), true, {})?.pieces[0]?.weight?.name, `${one.original}.weight`)
    const value = names.find('text_model_encoder_layers_0_self_attn_v_proj', true, {})?.pieces[0]
    assert.deepEqual(
      [value?.weight?.name, value?.bias?.name, value?.rows],
      ['transformer.resblocks.0.attn.in_proj_weight', 'transformer.resblocks.0.attn.in_proj_bias', { first: 8, count: 4 }],
    )
  })

  it('that are one name when flattened are never chosen between', () => {
    const [part] = partsOf(baseOf({ 'down_blocks.a.b_c.weight': [2, 2], 'down_blocks.a_b.c.weight': [2, 2] }))
    assert.ok(part)
    const names = new PartNames(part)
    assert.throws(() => names.find('down_blocks_a_b_c', true, {}), refused(MismatchError, /could be any of "down_blocks\.a\.b_c", "down_blocks\.a_b\.c"/))
    assert.equal(names.find('down_blocks.a_b.c', false, {})?.path, 'down_blocks.a_b.c') // with dots there is no doubt
  })

  it('that are wrong lead to the nearest', () => {
    const [part] = partsOf(tensors(unetModules(SD15), 'diffusers'))
    assert.ok(part)
    assert.equal(new PartNames(part).nearest('down_blocks_0_resnets_0_conv3', true)[0], 'down_blocks_0_resnets_0_conv1')
  })
})

describe('the models in a base', () => {
  const kinds = (base: Map<string, TensorInfo>, known?: string): unknown =>
    partsOf(base, known).map(({ components, tensors: own }) => [components[0], own.size])
  const unet = (prefix: string): Map<string, TensorInfo> => tensors(unetModules(SD15), 'original', prefix)

  it('are told by the beginnings of names', () => {
    const clip = tensors(clipModules(1, 4), 'diffusers', 'cond_stage_model.transformer.')
    const all = new Map([...unet('model.diffusion_model.'), ...clip, ...baseOf({ 'first_stage_model.encoder.conv_in.weight': [2, 2], betas: [3] })])
    assert.deepEqual(kinds(all), [
      ['unet', unetModules(SD15).length],
      ['text_encoder', clip.size],
    ])
  })

  it('are one, when nothing stands in front', () => {
    assert.deepEqual(partsOf(unet(''))[0]?.components.includes('unet'), true)
    assert.deepEqual(partsOf(tensors(clipModules(1, 4), 'diffusers'))[0]?.components, ['text_encoder', 'text_encoder_2', 'text_encoder_3'])
    assert.deepEqual(kinds(unet(''), 'unet'), [['unet', unetModules(SD15).length]])
  })

  it('are none that is known in a language model, whatever its names begin with', () => {
    assert.deepEqual(partsOf(baseOf({ 'transformer.h.0.attn.c_attn.weight': [2, 2], 'lm_head.weight': [2, 2] }))[0]?.components, [])
    assert.deepEqual(partsOf(baseOf({ 'model.layers.0.self_attn.q_proj.weight': [2, 2] }))[0]?.components, [])
  })

  it('answer to what adapters call them', () => {
    const parts = [
      { components: ['transformer'], tensors: new Map() },
      { components: ['text_encoder_2'], tensors: new Map() },
    ]
    assert.deepEqual(partsNamed(parts, 'unet'), [parts[0]])
    assert.deepEqual(partsNamed(parts, 'text_encoder_3'), [parts[1]])
    assert.deepEqual(partsNamed(parts, 'text_encoder'), [])
  })
})
