/**
 * The folder of one model of a diffusion pipeline (unet/, transformer/, text_encoder/ …): its weights have names of diffusers or
 * of transformers, and there may be several variants of them side by side, of which one is the model.
 *
 * Law: diffusers 0.42 utils/hub_utils.py `_add_variant`, models/modeling_utils.py `from_pretrained`: without a variant asked for,
 * `diffusion_pytorch_model.safetensors` or its index, then .bin.
 */
import { dirname } from 'node:path'
import type { Folder } from '../core/bytes.js'
import { FormatError, nameList } from '../core/errors.js'
import { textOr, type JsonObject } from '../core/json.js'
import type { WeightNames } from '../core/model.js'
import { openFolder, type LocalFolder } from './files.js'
import { openShardsOf, readSafetensors, readTorch, type OpenedShard, type ShardFormat } from './shards.js'

export const PIPELINE_INDEX = 'model_index.json'
const COMPONENT_NAMES: ReadonlySet<string> = new Set(['unet', 'transformer', 'transformer_2', 'prior', 'text_encoder', 'text_encoder_2', 'text_encoder_3'])

interface WeightsRow {
  readonly stem: string
  /** What transformers calls the same in .bin. */
  readonly torchStem: string
}

const ROWS: readonly WeightsRow[] = [
  { stem: 'diffusion_pytorch_model', torchStem: 'diffusion_pytorch_model' },
  { stem: 'model', torchStem: 'pytorch_model' },
]

/** Whether a folder is one model of a diffusion pipeline: it has diffusers' weights or config, or lies in a pipeline. */
export async function isComponent(folder: LocalFolder, config: JsonObject | undefined): Promise<boolean> {
  if (config?.has('_class_name') === true || config?.has('_diffusers_version') === true) return true
  if (folder.entries.some(({ name }) => name.startsWith('diffusion_pytorch_model.'))) return true
  if (!COMPONENT_NAMES.has(folder.baseName)) return false
  return (await openFolder(dirname(folder.path)).catch(() => undefined))?.has(PIPELINE_INDEX) ?? false
}

/**
 * The weights of such a folder, and how they are called.
 * @returns undefined when it holds none
 * @throws FormatError, FileSystemError; also when there are variants only, and several
 */
export async function openComponentShards(folder: Folder): Promise<{ shards: readonly OpenedShard[]; weightNames: WeightNames } | undefined> {
  const found = weightsOf(folder)
  if (found === undefined) return undefined
  const shards = await openShardsOf(folder, found.format)
  return shards && { shards, weightNames: found.weightNames }
}

interface FoundWeights {
  readonly format: ShardFormat
  readonly weightNames: WeightNames
}

function weightsOf(folder: Folder): FoundWeights | undefined {
  for (const row of ROWS) {
    for (const torch of [false, true]) {
      const plain = formatOf(row, torch, undefined)
      if (folder.entries.some(({ name }) => plain.isOwn(name)) || folder.has(plain.index))
        return { format: plain, weightNames: { stem: row.stem, variant: undefined } }
    }
  }
  for (const row of ROWS) {
    for (const torch of [false, true]) {
      const variants = variantsOf(folder, row, torch)
      const [variant, ...more] = variants
      if (variant === undefined) continue
      if (more.length > 0)
        throw new FormatError(`holds the variants ${nameList(variants)} of its weights, and none without: leave the one that is meant.`, { file: folder.label })
      return { format: formatOf(row, torch, variant), weightNames: { stem: row.stem, variant } }
    }
  }
  return undefined
}

function formatOf({ stem, torchStem }: WeightsRow, torch: boolean, variant: string | undefined): ShardFormat {
  const [start, extension] = torch ? [torchStem, '.bin'] : [stem, '.safetensors']
  const middle = variant === undefined ? '' : `.${variant}`
  const whole = `${start}${middle}${extension}`
  return {
    index: `${start}${extension}.index${middle}.json`,
    extension,
    isOwn: (name) => name === whole || (SHARD.exec(name)?.[1] === start && SHARD.exec(name)?.[3] === extension && (SHARD.exec(name)?.[2] ?? '') === middle),
    read: torch ? readTorch : readSafetensors,
  }
}

/** `diffusion_pytorch_model.fp16-00001-of-00002.safetensors`: stem, variant, extension. */
const SHARD = /^([a-z_]+)(\.[A-Za-z0-9_]+)?-\d{5}-of-\d{5}(\.safetensors|\.bin)$/
const VARIANT = /^([a-z_]+)\.([A-Za-z0-9_]+)(?:-\d{5}-of-\d{5})?(\.safetensors|\.bin)$/

function variantsOf(folder: Folder, { stem, torchStem }: WeightsRow, torch: boolean): string[] {
  const [start, extension] = torch ? [torchStem, '.bin'] : [stem, '.safetensors']
  const variants = folder.entries.flatMap(({ name }) => {
    const [, own, variant, ending] = VARIANT.exec(name) ?? []
    return own === start && ending === extension && variant !== undefined ? [variant] : []
  })
  return [...new Set(variants)]
}

/** Which model of a pipeline a folder is. */
export function componentName(folder: Folder, config: JsonObject | undefined): string | undefined {
  if (COMPONENT_NAMES.has(folder.baseName)) return folder.baseName
  const className = textOr(config?.get('_class_name'), '')
  if (className.startsWith('UNet')) return 'unet'
  return className.includes('Transformer') ? 'transformer' : undefined
}
