/** Which files beside the weights belong to a model and are carried over to a merged folder, and what is edited in them. */
import { readAll, type Folder } from '../core/bytes.js'
import type { PlainFloat } from '../core/dtypes.js'
import { decodeUtf8, type JsonObject } from '../core/json.js'
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
 * Copies of everything that belongs to the model, tokenizer files from `tokenizer` when it is given.
 * @param except  names that the plan writes itself
 */
export async function copiedFiles(base: Folder | undefined, tokenizer: TokenizerFiles | undefined, except: ReadonlySet<string>): Promise<SideFile[]> {
  const isTokenizerFile = (name: string): boolean => tokenizer?.names.some((one) => name === one || (one.endsWith('/') && name.startsWith(one))) ?? false
  const chosen: [Folder, string][] = base === undefined ? [] : base.entries.filter(({ name }) => !isTokenizerFile(name)).map(({ name }) => [base, name])
  if (tokenizer !== undefined) for (const { name } of tokenizer.folder.entries) if (isTokenizerFile(name)) chosen.push([tokenizer.folder, name])
  const files: SideFile[] = []
  for (const [folder, name] of chosen) {
    const lastPart = name.slice(name.lastIndexOf('/') + 1)
    if (except.has(name) || LEFT_BEHIND.some((pattern) => pattern.test(lastPart))) continue
    files.push({ name, stage: 'before', content: { kind: 'copy', source: (await folder.open(name)).descriptor } })
  }
  return files
}

/**
 * config.json of the merged model: the base's text with the dtype that was written, and the base's name, which the
 * reference converter derives general.* from, so that a GGUF made from the folder says the same as a fused one.
 */
export async function mergedConfig(folder: Folder, config: JsonObject, identity: string, dtype: PlainFloat | undefined): Promise<SideFile> {
  let text = decodeUtf8(await readAll(await folder.open('config.json'), MOST_CONFIG_BYTES), 'config.json')
  if (dtype !== undefined) text = text.replace(DTYPE_FIELD, (_, key: string, colon: string) => `"${key}"${colon}"${DTYPE_NAMES[dtype]}"`)
  const name = config.get('_name_or_path')
  // the reference ignores names with more than one slash: they are paths of the machine where the model was saved
  if (!config.has('_name_or_path')) text = text.replace('{', `{\n  "_name_or_path": ${JSON.stringify(identity)},`)
  // the reference ignores names with more than one slash: they are paths of the machine where the model was saved
  else if (name === null || (typeof name === 'string' && name.split('/').length > 2)) {
    text = text.replace(/("_name_or_path"\s*:\s*)(?:null|"(?:[^"\\]|\\.)*")/, (_, key: string) => `${key}${JSON.stringify(identity)}`)
  }
  return { name: 'config.json', stage: 'before', content: { kind: 'text', text } }
}
