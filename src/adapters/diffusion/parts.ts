/**
 * The models of a diffusion pipeline that a base holds: one when it is the folder or file of one; several when it is an original
 * checkpoint, or a file that somebody put together. Told by the beginnings of names, and by what only such models have.
 */
import type { TensorInfo } from '../../core/tensor-info.js'

/** One model of a base. */
export interface BasePart {
  /** What it may be called in a pipeline, the likeliest first; empty when nothing says what it is. */
  readonly components: readonly string[]
  /** By local name, without the beginning that the file puts in front. The tensors keep the file's names. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
}

interface PrefixRow {
  readonly prefix: string
  readonly component: string
  /** The part must look like one, for other models have such names too. */
  readonly looks?: true
}

/** Beginnings of names in files that hold several models; Stable Diffusion's original checkpoints, ComfyUI's, and diffusers' names joined. */
const PREFIXES: readonly PrefixRow[] = [
  { prefix: 'model.diffusion_model.', component: 'unet' },
  { prefix: 'cond_stage_model.transformer.', component: 'text_encoder' },
  { prefix: 'cond_stage_model.model.', component: 'text_encoder' },
  { prefix: 'conditioner.embedders.0.transformer.', component: 'text_encoder' },
  { prefix: 'conditioner.embedders.0.model.', component: 'text_encoder_2' }, // SDXL's refiner has the second one only
  { prefix: 'conditioner.embedders.1.model.', component: 'text_encoder_2' },
  { prefix: 'text_encoders.clip_l.transformer.', component: 'text_encoder' },
  { prefix: 'text_encoders.clip_g.transformer.', component: 'text_encoder_2' },
  { prefix: 'text_encoders.t5xxl.transformer.', component: 'text_encoder_3' },
  { prefix: 'diffusion_model.', component: 'unet' },
  { prefix: 'unet.', component: 'unet' },
  { prefix: 'transformer.', component: 'transformer', looks: true },
  { prefix: 'transformer_2.', component: 'transformer_2', looks: true },
  { prefix: 'text_encoder.', component: 'text_encoder' },
  { prefix: 'text_encoder_2.', component: 'text_encoder_2' },
  { prefix: 'text_encoder_3.', component: 'text_encoder_3' },
]

/** Models that predict the noise: adapters call all of them `unet`, diffusers by their kind. */
export const DENOISERS: readonly string[] = ['unet', 'transformer', 'prior']
const ENCODERS: readonly string[] = ['text_encoder', 'text_encoder_2', 'text_encoder_3']

/** Beginnings of names that only a denoiser has, or a CLIP text model. */
export const OF_DENOISERS =
  /^(?:down_blocks|mid_block|up_blocks|input_blocks|middle_block|output_blocks|double_blocks|single_blocks|joint_blocks|transformer_blocks|single_transformer_blocks|x_embedder|all_x_embedder|img_in|pos_embed|patch_embed|patch_embedding)\./
const OF_CLIP = /^(?:text_model\.(?:embeddings|encoder)|transformer\.resblocks|encoder\.layers\.0\.layer_norm1)\./

/**
 * Takes a base apart.
 * @param tensors  by name
 * @param known    what the base's folder or config says it is
 */
export function partsOf(tensors: ReadonlyMap<string, TensorInfo>, known?: string): BasePart[] {
  if (known !== undefined) return [{ components: [known], tensors }]
  const found = PREFIXES.flatMap(({ prefix, component, looks }): BasePart[] => {
    const own = new Map([...tensors].flatMap(([name, tensor]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), tensor] as const] : [])))
    return own.size === 0 || (looks === true && !someName(own, OF_DENOISERS)) ? [] : [{ components: [component], tensors: own }]
  })
  if (found.length > 0) return found
  const components = someName(tensors, OF_DENOISERS) ? DENOISERS : someName(tensors, OF_CLIP) ? ENCODERS : []
  return [{ components, tensors }]
}

function someName(tensors: ReadonlyMap<string, TensorInfo>, pattern: RegExp): boolean {
  for (const name of tensors.keys()) if (pattern.test(name)) return true
  return false
}

/** Whether two names may be of one model: adapters call every denoiser `unet`, pipelines by their kind. */
export function isSameModel(one: string, other: string): boolean {
  return one === other || (DENOISERS.includes(one) && DENOISERS.includes(other))
}

/**
 * The parts that may be what an adapter calls `component`: those of that name, else others that it may mean.
 * @param isTaken  whether a part is what the adapter calls by another name; then it is not meant
 */
export function partsNamed(parts: readonly BasePart[], component: string, isTaken: (part: BasePart) => boolean = () => false): BasePart[] {
  const named = (names: readonly string[]): BasePart[] => parts.filter(({ components }) => components.some((one) => names.includes(one)))
  const exact = named([component])
  if (exact.length > 0) return exact
  // sd-scripts numbers T5 as the third text encoder, whichever place it has
  const others = DENOISERS.includes(component) ? DENOISERS : component === 'text_encoder_3' ? ['text_encoder_2'] : []
  return named(others).filter((part) => !isTaken(part))
}
