/**
 * The models of Stable Diffusion 1.5 and SDXL with their real modules and a few channels: every module by both of its names.
 * Written from the architecture, not from the code under test: original names are counted up as the original code builds its
 * lists (CompVis ldm `UNetModel`, sgm), diffusers' as its blocks have them.
 */

/** A module with a weight. */
export interface NamedModule {
  readonly diffusers: string
  readonly original: string
  /** Of the weight: a matrix, a convolution, or a norm's vector. */
  readonly shape: readonly number[]
  readonly hasBias: boolean
}

interface UnetPlan {
  readonly channels: readonly number[]
  /** Transformer blocks in each down block's attentions; 0 for none. The up blocks have them in reverse. */
  readonly depths: readonly number[]
  readonly middleDepth: number
  readonly context: number
  /** Whether proj_in and proj_out are linear layers, or convolutions of size 1. */
  readonly linearProjections: boolean
  readonly hasAddedEmbedding: boolean
}

const LAYERS = 2

export const SD15: UnetPlan = { channels: [4, 6, 8, 8], depths: [1, 1, 1, 0], middleDepth: 1, context: 5, linearProjections: false, hasAddedEmbedding: false }
export const SDXL: UnetPlan = { channels: [4, 6, 8], depths: [0, 2, 10], middleDepth: 10, context: 5, linearProjections: true, hasAddedEmbedding: true }

/** Every module of a UNet. */
export function unetModules({ channels, depths, middleDepth, context, linearProjections, hasAddedEmbedding }: UnetPlan): NamedModule[] {
  const modules: NamedModule[] = []
  const add = (diffusers: string, original: string, shape: readonly number[], hasBias = true): void =>
    void modules.push({ diffusers, original, shape, hasBias })
  const [first = 0] = channels
  const time = first * 4
  const resnet = (diffusers: string, original: string, from: number, to: number): void => {
    add(`${diffusers}.norm1`, `${original}.in_layers.0`, [from])
    add(`${diffusers}.conv1`, `${original}.in_layers.2`, [to, from, 3, 3])
    add(`${diffusers}.time_emb_proj`, `${original}.emb_layers.1`, [to, time])
    add(`${diffusers}.norm2`, `${original}.out_layers.0`, [to])
    add(`${diffusers}.conv2`, `${original}.out_layers.3`, [to, to, 3, 3])
    if (from !== to) add(`${diffusers}.conv_shortcut`, `${original}.skip_connection`, [to, from, 1, 1])
  }
  const attention = (diffusers: string, original: string, size: number, depth: number): void => {
    const both = (path: string, shape: readonly number[], hasBias = true): void => add(`${diffusers}.${path}`, `${original}.${path}`, shape, hasBias)
    const projection = linearProjections ? [size, size] : [size, size, 1, 1]
    both('norm', [size])
    both('proj_in', projection)
    for (let i = 0; i < depth; i++) {
      for (const norm of ['norm1', 'norm2', 'norm3']) both(`transformer_blocks.${i}.${norm}`, [size])
      for (const [part, inputs] of [
        ['attn1', size],
        ['attn2', context],
      ] as const) {
        both(`transformer_blocks.${i}.${part}.to_q`, [size, size], false)
        both(`transformer_blocks.${i}.${part}.to_k`, [size, inputs], false)
        both(`transformer_blocks.${i}.${part}.to_v`, [size, inputs], false)
        both(`transformer_blocks.${i}.${part}.to_out.0`, [size, size])
      }
      both(`transformer_blocks.${i}.ff.net.0.proj`, [size * 8, size])
      both(`transformer_blocks.${i}.ff.net.2`, [size, size * 4])
    }
    both('proj_out', projection)
  }

  add('conv_in', 'input_blocks.0.0', [first, 4, 3, 3])
  add('time_embedding.linear_1', 'time_embed.0', [time, first])
  add('time_embedding.linear_2', 'time_embed.2', [time, time])
  if (hasAddedEmbedding) {
    add('add_embedding.linear_1', 'label_emb.0.0', [time, 7])
    add('add_embedding.linear_2', 'label_emb.0.2', [time, time])
  }
  const skips = [first]
  let [n, from] = [1, first]
  channels.forEach((to, i) => {
    for (let j = 0; j < LAYERS; j++, n++) {
      resnet(`down_blocks.${i}.resnets.${j}`, `input_blocks.${n}.0`, from, to)
      from = to
      skips.push(to)
      const depth = depths[i] ?? 0
      if (depth > 0) attention(`down_blocks.${i}.attentions.${j}`, `input_blocks.${n}.1`, to, depth)
    }
    if (i + 1 === channels.length) return
    add(`down_blocks.${i}.downsamplers.0.conv`, `input_blocks.${n++}.0.op`, [to, to, 3, 3])
    skips.push(to)
  })
  resnet('mid_block.resnets.0', 'middle_block.0', from, from)
  attention('mid_block.attentions.0', 'middle_block.1', from, middleDepth)
  resnet('mid_block.resnets.1', 'middle_block.2', from, from)
  n = 0
  channels.toReversed().forEach((to, i) => {
    const depth = depths.toReversed()[i] ?? 0
    for (let j = 0; j <= LAYERS; j++, n++) {
      resnet(`up_blocks.${i}.resnets.${j}`, `output_blocks.${n}.0`, from + (skips.pop() ?? 0), to)
      from = to
      if (depth > 0) attention(`up_blocks.${i}.attentions.${j}`, `output_blocks.${n}.1`, to, depth)
      const isLast = j === LAYERS && i + 1 < channels.length
      if (isLast) add(`up_blocks.${i}.upsamplers.0.conv`, `output_blocks.${n}.${depth > 0 ? 2 : 1}.conv`, [to, to, 3, 3])
    }
  })
  add('conv_norm_out', 'out.0', [first])
  add('conv_out', 'out.2', [4, first, 3, 3])
  return modules
}

/** Every module of a CLIP text model; `original` is OpenCLIP's name, where query, key and value have none of their own. */
export function clipModules(layers: number, size: number, tokens = 9): NamedModule[] {
  const modules: NamedModule[] = [
    { diffusers: 'text_model.embeddings.token_embedding', original: 'token_embedding', shape: [tokens, size], hasBias: false },
    { diffusers: 'text_model.embeddings.position_embedding', original: '', shape: [4, size], hasBias: false },
  ]
  for (let i = 0; i < layers; i++) {
    const [ours, theirs] = [`text_model.encoder.layers.${i}`, `transformer.resblocks.${i}`]
    const add = (diffusers: string, original: string, shape: readonly number[]): void =>
      void modules.push({ diffusers: `${ours}.${diffusers}`, original: original === '' ? '' : `${theirs}.${original}`, shape, hasBias: true })
    for (const part of ['q_proj', 'k_proj', 'v_proj']) add(`self_attn.${part}`, '', [size, size])
    add('self_attn.out_proj', 'attn.out_proj', [size, size])
    add('layer_norm1', 'ln_1', [size])
    add('mlp.fc1', 'mlp.c_fc', [size * 4, size])
    add('mlp.fc2', 'mlp.c_proj', [size, size * 4])
    add('layer_norm2', 'ln_2', [size])
  }
  modules.push({ diffusers: 'text_model.final_layer_norm', original: 'ln_final', shape: [size], hasBias: true })
  return modules
}
