/**
 * The two names of every module of CLIP's text models: those of transformers (text_model.encoder.layers), with `text_model.`
 * or, since transformers 5, without; and those of OpenCLIP (transformer.resblocks), which original checkpoints of SD 2 and SDXL
 * have. OpenCLIP keeps query, key and value in one matrix, one after the other, and its projection transposed.
 *
 * Law: diffusers 0.42 loaders/single_file_utils.py `convert_open_clip_checkpoint`.
 */
import type { TensorInfo } from '../../core/tensor-info.js'

const LAYER_RENAMES: ReadonlyMap<string, string> = new Map([
  ['ln_1', 'layer_norm1'],
  ['ln_2', 'layer_norm2'],
  ['mlp.c_fc', 'mlp.fc1'],
  ['mlp.c_proj', 'mlp.fc2'],
  ['attn.out_proj', 'self_attn.out_proj'],
])
const RENAMES: ReadonlyMap<string, string> = new Map([
  ['token_embedding', 'text_model.embeddings.token_embedding'],
  ['ln_final', 'text_model.final_layer_norm'],
])
const BLOCK = /^transformer\.resblocks\.(\d{1,4})\.(.+)$/
const FUSED = /^transformer\.resblocks\.(\d{1,4})\.attn\.in_proj_weight$/
const FUSED_PARTS = ['q_proj', 'k_proj', 'v_proj'] as const

/** The other name of each module that has one. @param modules  paths of modules, in either naming */
export function otherClipNames(modules: Iterable<string>): Map<string, string> {
  const others = new Map<string, string>()
  for (const name of modules) {
    const other = otherName(name)
    if (other !== undefined) others.set(name, other)
  }
  return others
}

function otherName(name: string): string | undefined {
  const [, number, rest = ''] = BLOCK.exec(name) ?? []
  if (number !== undefined) {
    const renamed = LAYER_RENAMES.get(rest)
    return renamed === undefined ? undefined : `text_model.encoder.layers.${number}.${renamed}`
  }
  if (name.startsWith('text_model.')) return name.slice('text_model.'.length)
  if (/^(?:embeddings|encoder\.layers|final_layer_norm)\b/.test(name)) return `text_model.${name}`
  return RENAMES.get(name)
}

/** OpenCLIP's projection: a parameter, not a layer; transformers has it as a layer of the same name. */
export const TRANSPOSED_PROJECTION = 'text_projection'

/** A module whose matrix is a third of a fused one. */
export interface FusedPart {
  readonly module: string
  /** Local names of the fused tensors. */
  readonly weight: string
  readonly bias: string
  /** Rows of both that are the module's. */
  readonly rows: { readonly first: number; readonly count: number }
}

/** Query, key and value of OpenCLIP's attention. @param tensors  by local name */
export function fusedClipParts(tensors: ReadonlyMap<string, TensorInfo>): FusedPart[] {
  return [...tensors].flatMap(([name, { shape }]) => {
    const number = FUSED.exec(name)?.[1]
    const count = (shape[0] ?? 0) / FUSED_PARTS.length
    if (number === undefined || !Number.isInteger(count)) return []
    return FUSED_PARTS.map((part, i) => ({
      module: `text_model.encoder.layers.${number}.self_attn.${part}`,
      weight: name,
      bias: `${name.slice(0, -'weight'.length)}bias`,
      rows: { first: i * count, count },
    }))
  })
}
