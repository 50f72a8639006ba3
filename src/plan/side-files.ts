/** Which files beside the weights belong to a model and are carried over to a merged folder, and what is edited in them. */
import { readAll, type Folder } from '../core/bytes.js'
import type { PlainFloat } from '../core/dtypes.js'
import { decodeUtf8 } from '../core/json.js'
import { withField, withoutField } from './config-text.js'
import type { SideFile } from './plan.js'

/** Weights, indexes, training state and other tools' outputs: everything in a model folder that the merged model must not inherit. */
const LEFT_BEHIND: readonly RegExp[] = [
  /^\./,
  /\.(?:safetensors|bin|pt|pth|ckpt|gguf|ggml|h5|msgpack|onnx|onnx_data|npz|mlmodel|zip|tar|gz)$/i,
  /\.index\.json$/i,
  /^(?:optimizer|scheduler|scaler|rng_state|training_args|trainer_state|trainer_log|all_results|train_results|eval_results|training_loss|adapter_config|adapter_model)\b/i,
  /(?:^|\.)Modelfile$/i, // names another weights file
  /\.receipt\.json$/i,
]

const MOST_CONFIG_BYTES = 32_000_000
const DTYPE_NAMES: Readonly<Record<PlainFloat, string>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }
const DTYPE_FIELD = /"(torch_dtype|dtype)"(\s*:\s*)"(?:float16|bfloat16|float32|float64)"/g

/** What tokenizer files replace the base's, when the adapter's (or the user's) are used. */
export interface TokenizerFiles {
  readonly folder: Folder
  /** Names that belong to a tokenizer, whichever of them a folder has. */
  readonly names: readonly string[]
}

/**
 * Copies of everything that belongs to the model, where some files come from elsewhere.
 * @param others  which files, and where they are: a tokenizer, a prompt style
 * @param except  names that the plan writes itself
 */
export async function copiedFiles(base: Folder | undefined, others: readonly TokenizerFiles[], except: ReadonlySet<string>): Promise<SideFile[]> {
  const isOf = ({ names }: TokenizerFiles, name: string): boolean => names.some((one) => name === one || (one.endsWith('/') && name.startsWith(one)))
  const isElsewhere = (name: string): boolean => others.some((other) => isOf(other, name))
  const chosen: [Folder, string][] = base === undefined ? [] : base.entries.filter(({ name }) => !isElsewhere(name)).map(({ name }) => [base, name])
  for (const other of others) for (const { name } of other.folder.entries) if (isOf(other, name)) chosen.push([other.folder, name])
  const files: SideFile[] = []
  for (const [folder, name] of chosen) {
    const lastPart = name.slice(name.lastIndexOf('/') + 1)
    if (except.has(name) || LEFT_BEHIND.some((pattern) => pattern.test(lastPart))) continue
    files.push({ name, stage: 'before', content: { kind: 'copy', source: (await folder.open(name)).descriptor } })
  }
  return files
}

/** What is edited in config.json. */
export interface ConfigEdits {
  /** The dtype that was written, where the config names one. */
  readonly dtype: PlainFloat | undefined
  readonly changes: ReadonlyMap<string, boolean | number>
  /** Fields that are true of the base only. */
  readonly removed: readonly string[]
}

/** config.json of the merged model: the base's, with the dtype that was written where it names one, and what merging changes. */
export async function mergedConfig(folder: Folder, { dtype, changes, removed }: ConfigEdits): Promise<SideFile> {
  const source = await folder.open('config.json')
  if (dtype === undefined && changes.size === 0 && removed.length === 0)
    return { name: 'config.json', stage: 'before', content: { kind: 'copy', source: source.descriptor } }
  // edited as text, so that numbers keep their digits and keys their order
  let text = decodeUtf8(await readAll(source, MOST_CONFIG_BYTES), 'config.json')
  for (const key of removed) text = withoutField(text, key)
  if (dtype !== undefined) text = text.replace(DTYPE_FIELD, (_, key: string, colon: string) => `"${key}"${colon}"${DTYPE_NAMES[dtype]}"`)
  for (const [key, value] of changes) text = withField(text, key, value)
  return { name: 'config.json', stage: 'before', content: { kind: 'text', text } }
}
