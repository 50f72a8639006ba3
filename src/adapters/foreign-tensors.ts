/** What a file of tensors is that has no LoRA factors of its format: people name checkpoints of every kind as adapters. */
import { MismatchError, nameList, UnsupportedError, UsageError, type ToolkitError } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'

interface KindOfFile {
  /** Some key matches. */
  readonly key: RegExp
  readonly is: string
  readonly wayOut: string
}

/** The first row that some key matches has it. */
const KINDS: readonly KindOfFile[] = [
  {
    key: /\.lora_(?:A|B|embedding_A|embedding_B)(?:\.[^.]+)?(?:\.weight)?$/,
    is: 'weights of a PEFT adapter without their config',
    wayOut: 'put adapter_config.json, which holds lora_alpha, beside them.',
  },
  { key: /\.lora_a$|\.lora_b$/, is: 'factors of MLX-LM without their config', wayOut: 'put adapter_config.json, which holds the scale, beside them.' },
  { key: /lora_(?:up|down)|hada_w1|lokr_w1/, is: 'a LoRA for Stable Diffusion in a PyTorch file', wayOut: 'save it as .safetensors.' },
  { key: /gating_factor|adapter_wte/, is: 'a LLaMA-Adapter', wayOut: 'it acts on attention at run time, and cannot be merged into weights.' },
  {
    key: /adapter_(?:down|up)\b|\.adapters\.|adapter_scale|adapter_bias/,
    is: 'bottleneck adapters (AdapterHub, LitGPT adapter_v2)',
    wayOut: 'they are layers of their own, and cannot be merged into weights.',
  },
  { key: /prompt_embeddings|prefix_encoder|soft_prompt/, is: 'a prompt or prefix', wayOut: 'it changes inputs, not weights, and cannot be merged.' },
  { key: /string_to_param|emb_params|^<.*>$/, is: 'a textual inversion embedding', wayOut: 'it adds a token, and changes no weight.' },
  { key: /^control_model\.|^controlnet/, is: 'a ControlNet', wayOut: 'it is a network of its own, and cannot be merged.' },
]

/** The error for such a file. @param tensors  none of them a factor */
export function foreignTensors(tensors: readonly TensorInfo[], file: string): ToolkitError {
  const names = tensors.map(({ name }) => name)
  const kind = KINDS.find(({ key }) => names.some((name) => key.test(name)))
  if (kind !== undefined) return new UnsupportedError(`is ${kind.is}, not a loralib adapter: ${kind.wayOut}`, { file })
  if (names.some((name) => /(?:embed|wte|lm_head|conv1|layers?\.0\.)/.test(name)))
    return new UsageError(`is a whole model without lora_A and lora_B, nothing to merge: the base comes first, then the adapters.`, { file })
  return new MismatchError(`holds no LoRA tensors (X.lora_A and X.lora_B): nothing would be merged. Found ${nameList(names, 3)}.`, { file })
}
