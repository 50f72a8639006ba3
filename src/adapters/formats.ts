/**
 * THE table of adapter formats: how each is recognised by the folder's files and config, and who opens it. The first
 * row that recognises a folder has it. Formats that are not read yet are rows too, so that they are refused by name.
 */
import { readAll } from '../core/bytes.js'
import { UnsupportedError } from '../core/errors.js'
import { parseJsonObject, type JsonObject } from '../core/json.js'
import type { AdapterFile, AdapterFolder, AdapterOptions } from './adapter-file.js'
import { isTorchFile, onlyWeights, readAdapterWeights } from './adapter-weights.js'
import { openDiffusionAdapter } from './diffusion/diffusion.js'
import { isLycorisKey, looksLikeDiffusion, looksLikeKohya } from './diffusion/diffusion-keys.js'
import { openGgufLora } from './gguf-lora.js'
import { LITGPT_LORA, openLitGptAdapter } from './litgpt.js'
import { openLoralibAdapter, TORCH_ADAPTER } from './loralib.js'
import { isMlxConfig, openMlxAdapter } from './mlx.js'
import { MAX_CONFIG_BYTES, openPeftAdapter, PEFT_CONFIG } from './peft/peft.js'
import { isTrainingFile, isWholeModel, noAdapter } from './training-folder.js'

/** What a format is recognised by. */
interface Clues {
  readonly folder: AdapterFolder
  /** The weights file, when the user named a file and not a folder. */
  readonly weightsName: string | undefined
  /** adapter_config.json, when there is one. */
  readonly config: JsonObject | undefined
  /** Names of the tensors in the one file of weights that is meant; empty when a config says more, or none can be told. Read once. */
  keys(): Promise<readonly string[]>
}

interface FormatRow {
  /** For people. */
  readonly name: string
  /** What to do instead, where the format is not read. */
  readonly refused?: string
  recognise(clues: Clues): boolean | Promise<boolean>
  open(clues: Clues, options: AdapterOptions): Promise<AdapterFile>
}

const FORMATS: readonly FormatRow[] = [
  {
    name: 'GGUF LoRA',
    recognise: ({ weightsName, config, folder }) =>
      weightsName === undefined ? config === undefined && !isWholeModel(folder) && someFile(folder, '.gguf') : weightsName.endsWith('.gguf'),
    open: ({ folder, weightsName }) => openGgufLora(folder, weightsName),
  },
  {
    name: 'MLX-LM',
    recognise: ({ config }) => config !== undefined && isMlxConfig(config),
    open: ({ folder, weightsName, config = new Map() }, options) => openMlxAdapter(folder, config, weightsName, options),
  },
  notYet(
    'AdapterHub',
    'bottleneck adapters and prefixes act at run time and cannot be merged into weights; a LoRA of it can be merged there, with merge_adapter(), and the model saved',
    ({ config }) => config !== undefined && !config.has('peft_type') && (config.has('config_id') || (config.has('model_class') && config.has('config'))),
  ),
  {
    name: 'PEFT',
    recognise: ({ config }) => config !== undefined,
    open: ({ folder, weightsName }, options) => openPeftAdapter(folder, weightsName, options),
  },
  diffusionRow('LyCORIS', (keys) => keys.some(isLycorisKey)),
  diffusionRow('kohya (sd-scripts)', looksLikeKohya),
  diffusionRow('diffusers', looksLikeDiffusion),
  {
    name: 'LitGPT',
    recognise: ({ folder, weightsName }) => (weightsName === undefined ? folder.has(LITGPT_LORA) : weightsName.endsWith('.pth.lora')),
    open: ({ folder, weightsName }) => openLitGptAdapter(folder, weightsName),
  },
  {
    name: 'loralib (full state dicts too)',
    recognise: ({ folder, weightsName }) =>
      weightsName === undefined ? !isWholeModel(folder) && ['.pt', '.pth', '.bin'].some((ending) => someFile(folder, ending)) : TORCH_ADAPTER.test(weightsName),
    open: ({ folder, weightsName }, options) => openLoralibAdapter(folder, weightsName, options),
  },
  notYet('tensors without a config', `give the folder of a PEFT adapter, with ${PEFT_CONFIG}`, ({ folder, weightsName }) =>
    weightsName === undefined ? !isWholeModel(folder) && someFile(folder, '.safetensors') : weightsName.endsWith('.safetensors'),
  ),
]

/** The formats by name, and what to do instead of those that are not read. */
export function adapterFormats(): readonly Pick<FormatRow, 'name' | 'refused'>[] {
  return FORMATS
}

/**
 * Opens an adapter of any known format, without a base.
 * @param folder       the folder that the user named, or that holds the file
 * @param weightsName  name of the weights file in it, when the user named a file
 * @param options      what the files of some formats do not say
 * @throws UnsupportedError for formats not read yet, FileSystemError or UsageError for folders that hold no adapter
 */
export async function openAdapterFile(folder: AdapterFolder, weightsName?: string, options: AdapterOptions = {}): Promise<AdapterFile> {
  const config = await readConfig(folder)
  let keys: Promise<readonly string[]> | undefined
  const clues: Clues = { folder, weightsName, config, keys: () => (keys ??= config === undefined ? readKeys(folder, weightsName) : Promise.resolve([])) }
  for (const format of FORMATS) if (await format.recognise(clues)) return format.open(clues, options)
  throw noAdapter(folder)
}

async function readKeys(folder: AdapterFolder, weightsName = onlyWeights(folder)): Promise<readonly string[]> {
  if (weightsName === undefined || !(weightsName.endsWith('.safetensors') || isTorchFile(weightsName))) return []
  return (await readAdapterWeights(folder, weightsName)).tensors.map(({ name }) => name)
}

/** Adapters of diffusion pipelines, which are told apart by their keys alone. */
function diffusionRow(name: string, isOurs: (keys: readonly string[]) => boolean): FormatRow {
  return {
    name,
    recognise: async (clues) => isOurs(await clues.keys()),
    open: ({ folder, weightsName }) => openDiffusionAdapter(folder, weightsName ?? onlyWeights(folder) ?? ''),
  }
}

async function readConfig(folder: AdapterFolder): Promise<JsonObject | undefined> {
  if (!folder.has(PEFT_CONFIG)) return undefined
  const source = await folder.open(PEFT_CONFIG)
  return parseJsonObject(await readAll(source, MAX_CONFIG_BYTES), source.name)
}

function notYet(name: string, wayOut: string, recognise: (clues: Clues) => boolean): FormatRow {
  return {
    name,
    refused: wayOut,
    recognise,
    async open({ folder, weightsName }) {
      const file = weightsName === undefined ? folder.label : `${folder.label}/${weightsName}`
      throw new UnsupportedError(`adapters of this format (${name}) are not merged here: ${wayOut}.`, { file })
    },
  }
}

function someFile(folder: AdapterFolder, ending: string): boolean {
  return folder.entries.some(({ name }) => name.endsWith(ending) && !isTrainingFile(name))
}
