/**
 * A LoRA of LitGPT -> modules: `lit_model.pth.lora` (its factors), `hyperparameters.yaml` (rank, alpha, which of query, key and value
 * were trained) and `model_config.yaml` (how large these are) beside it. Names are those of LitGPT's own checkpoints.
 *
 * Law: litgpt 0.5.13 lora.py, scripts/merge_lora.py.
 */
import { readAll } from '../core/bytes.js'
import { FileSystemError, FormatError, MismatchError, UnsupportedError } from '../core/errors.js'
import { shapeText } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { modelTensors, readCheckpoint } from '../formats/torch/checkpoint.js'
import type { AdapterFile, AdapterFolder, AdapterModule } from './adapter-file.js'
import { readFlatYaml, yamlBoolean, yamlNumber, yamlUint, type FlatYaml } from './flat-yaml.js'
import { foreignTensors } from './foreign-tensors.js'
import type { FactorRole } from './key-suffixes.js'
import { pairFactors, wholeModules } from './paired-factors.js'

/** What LitGPT calls the factors. */
export const LITGPT_LORA = 'lit_model.pth.lora'

const HYPERPARAMETERS = 'hyperparameters.yaml'
const MODEL_CONFIG = 'model_config.yaml'
const MAX_YAML_BYTES = 16_000_000 // hf_config is in it; largest seen: 30 KB

/** Ranks and slices, from both files. */
interface Settings {
  readonly rank: number
  readonly alpha: number
  readonly slices: readonly { readonly rows: number; readonly enabled: boolean }[]
}

/** @throws FormatError naming a key, FileSystemError for a missing file, MismatchError when the files do not belong together */
export async function openLitGptAdapter(folder: AdapterFolder, weightsName = LITGPT_LORA): Promise<AdapterFile> {
  const settings = readSettings(await readYaml(folder, HYPERPARAMETERS), await readYaml(folder, MODEL_CONFIG))
  const source = await folder.open(weightsName)
  const tensors = modelTensors(await readCheckpoint(source))
  const { modules: pairs, rest } = pairFactors(tensors, { A: 'lora_A', B: 'lora_B' }, source.name)
  if (pairs.size === 0) throw foreignTensors(tensors, source.name)
  const { modules: whole, untrained } = wholeModules(rest)
  const [other] = untrained
  if (other !== undefined) throw new MismatchError('is no factor and no weight: it would be left over.', { file: source.name, tensor: other.name })
  const modules = [...pairs].map(([name, factors]) => moduleOf(name, factors, settings, source.name))
  const { rank, alpha } = settings
  return {
    label: folder.label,
    kind: 'LitGPT LoRA',
    modules: [...modules, ...whole],
    fanInFanOut: false,
    squares: 'plain',
    files: [weightsName, HYPERPARAMETERS, MODEL_CONFIG],
    facts: { format: 'LitGPT', rank, alpha, modules: modules.map(({ name, kind }) => ({ module: name, kind, rank, scale: alpha / rank })) },
    notes: [],
  }
}

async function readYaml(folder: AdapterFolder, name: string): Promise<FlatYaml> {
  if (!folder.has(name)) throw new FileSystemError(`holds ${LITGPT_LORA}, but not ${name}, which must lie beside it.`, { file: folder.label })
  const source = await folder.open(name)
  return readFlatYaml(await readAll(source, MAX_YAML_BYTES), source.name)
}

/** litgpt config.py `Config.__post_init__`: one head size and one group for each head, unless said. */
function readSettings(hyperparameters: FlatYaml, config: FlatYaml): Settings {
  const heads = yamlUint(config, 'n_head')
  const width = yamlUint(config, 'n_embd')
  const headSize = yamlUint(config, 'head_size', Math.floor(width / heads))
  const groups = yamlUint(config, 'n_query_groups', heads)
  const rank = yamlUint(hyperparameters, 'lora_r')
  const alpha = yamlNumber(hyperparameters, 'lora_alpha')
  if (!Number.isFinite(Math.fround(alpha / rank))) throw new FormatError('lora_alpha gives a scale too large for f32.', { file: hyperparameters.file })
  const slices = [
    { rows: headSize * heads, enabled: yamlBoolean(hyperparameters, 'lora_query') },
    { rows: headSize * groups, enabled: yamlBoolean(hyperparameters, 'lora_key') },
    { rows: headSize * groups, enabled: yamlBoolean(hyperparameters, 'lora_value') },
  ]
  return { rank, alpha, slices }
}

function moduleOf(name: string, factors: ReadonlyMap<FactorRole, TensorInfo>, { rank, alpha, slices }: Settings, file: string): AdapterModule {
  const common = { name, factors, rank, alpha, scale: alpha / rank }
  const [A, B] = [factors.get('A'), factors.get('B')]
  const place = { file, tensor: A?.name ?? '' }
  if (name.endsWith('.attn.attn'))
    throw new UnsupportedError(
      'is of a LitGPT before 0.5, which kept query, key and value in another order: convert base and adapter with the LitGPT of now.',
      place,
    )
  if (name.endsWith('.attn.qkv')) return { kind: 'grouped', ...common, slices }
  if (A?.shape[0] !== rank || B?.shape[1] !== rank)
    throw new MismatchError(
      `and its partner have the shapes ${shapeText(A?.shape ?? [])} and ${shapeText(B?.shape ?? [])}, but ${HYPERPARAMETERS} says lora_r ${rank}: do they belong together?`,
      place,
    )
  return { kind: 'lora', ...common }
}
