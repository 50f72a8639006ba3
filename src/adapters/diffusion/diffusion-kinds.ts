/**
 * THE table of what sd-scripts, LyCORIS and diffusers can train in a module of a pipeline, by the tensors that it has.
 *
 * Law: LyCORIS 4.1 modules/*.py; sd-scripts networks/*.py.
 */
import type { TensorInfo } from '../../core/tensor-info.js'
import type { DiffusionKind } from '../adapter-file.js'
import type { DiffusionRole } from './diffusion-keys.js'

export interface DiffusionKindRow {
  readonly kind: DiffusionKind
  /** For people. */
  readonly name: string
  /** All of these. */
  readonly needs: readonly DiffusionRole[]
  /** And any of these. */
  readonly may: readonly DiffusionRole[]
  /** What alpha is divided by; undefined where there is none. */
  readonly rank?: (factors: Factors) => number
  /**
   * What the stored alpha is. Unless said: with rs_lora it was stored so that alpha / rank is right. `given`: as the user gave it. `constraint`: the largest
   * length of a rotation for each output. `idle`: counts for nothing.
   */
  readonly alpha?: 'given' | 'constraint' | 'idle'
  /** What else must be true of the tensors. */
  readonly fits?: (factors: Factors) => boolean
}

type Factors = ReadonlyMap<DiffusionRole, TensorInfo>

const SCALED = ['alpha', 'doraScale', 'biasDifference'] as const
const ROTATES = ['alpha', 'rescale'] as const
const REST = ['restPositions', 'restValues', 'restSize'] as const
const rankOf =
  (role: DiffusionRole) =>
  (factors: Factors): number =>
    factors.get(role)?.shape[0] ?? 0
const hasDimensions =
  (role: DiffusionRole, count: number) =>
  (factors: Factors): boolean =>
    factors.get(role)?.shape.length === count

/** The first row that is complete has the module. */
export const DIFFUSION_KINDS: readonly DiffusionKindRow[] = [
  { kind: 'locon', name: 'LoRA', needs: ['A', 'B'], may: [...SCALED, ...REST, 'mid', 'magnitude', 'trainedBias'], rank: rankOf('A') },
  { kind: 'hadamard', name: 'LoHa', needs: ['hada1A', 'hada1B', 'hada2A', 'hada2B'], may: [...SCALED, 'hada1T', 'hada2T'], rank: rankOf('hada1B') },
  { kind: 'kronecker', name: 'LoKr', needs: ['lokr1', 'lokr2A', 'lokr2B'], may: [...SCALED, 'lokr2T'], rank: rankOf('lokr2B') },
  { kind: 'kronecker', name: 'LoKr', needs: ['lokr1A', 'lokr1B', 'lokr2A', 'lokr2B'], may: [...SCALED, 'lokr2T'], rank: rankOf('lokr2B') },
  { kind: 'kronecker', name: 'LoKr', needs: ['lokr1A', 'lokr1B', 'lokr2'], may: SCALED, rank: rankOf('lokr1B') },
  { kind: 'kronecker', name: 'LoKr', needs: ['lokr1', 'lokr2'], may: SCALED, alpha: 'idle' }, // two whole factors have scale 1
  { kind: 'lycorisGlora', name: 'GLoRA', needs: ['gloraA1', 'gloraA2', 'gloraB1', 'gloraB2'], may: ['alpha', 'gloraBM'], rank: gloraRank, alpha: 'given' },
  { kind: 'butterfly', name: 'BOFT', needs: ['oftBlocks'], may: ROTATES, alpha: 'constraint', fits: hasDimensions('oftBlocks', 4) },
  { kind: 'orthogonal', name: 'OFT', needs: ['oftBlocks'], may: [...ROTATES, 'oftBlocks1', 'oftBlocks2', 'oftBlocks3'], alpha: 'constraint' },
  { kind: 'difference', name: 'full differences', needs: ['difference'], may: ['biasDifference'] },
  { kind: 'difference', name: 'full differences', needs: ['biasDifference'], may: [] },
  { kind: 'norm', name: 'norms', needs: ['normDifference'], may: ['normBiasDifference'] },
  { kind: 'modulation', name: 'IA3', needs: ['modulation', 'onInput'], may: [] },
]

/** Spellings of roles in messages. */
export const DIFFUSION_ROLE_KEYS: Readonly<Partial<Record<DiffusionRole, string>>> = {
  A: 'lora_down (or lora_A)',
  B: 'lora_up (or lora_B)',
  hada1A: 'hada_w1_a',
  hada1B: 'hada_w1_b',
  hada2A: 'hada_w2_a',
  hada2B: 'hada_w2_b',
  lokr1: 'lokr_w1',
  lokr1A: 'lokr_w1_a',
  lokr1B: 'lokr_w1_b',
  lokr2: 'lokr_w2',
  lokr2A: 'lokr_w2_a',
  lokr2B: 'lokr_w2_b',
  gloraA1: 'a1',
  gloraA2: 'a2',
  gloraB1: 'b1',
  gloraB2: 'b2',
  difference: 'diff',
  normDifference: 'w_norm',
  modulation: 'weight',
  onInput: 'on_input',
}

/** What all four factors share; the smaller dimension where that could be either: of square matrices. */
function gloraRank(factors: Factors): number {
  const [a1, a2, b1, b2] = (['gloraA1', 'gloraA2', 'gloraB1', 'gloraB2'] as const).map((role) => factors.get(role)?.shape ?? [])
  const [rows = 0, cols = 0] = a1 ?? []
  const isNew = b1?.[1] === cols && b2?.[0] === cols && a2?.[0] === cols
  const isOld = b1?.[0] === rows && b2?.[1] === rows && a2?.[1] === rows
  return isNew === isOld ? Math.min(rows, cols) : isNew ? cols : rows
}

/** What such files hold that is no update of weights, or one that they do not tell. */
export interface RefusedKeys {
  /** For people. */
  readonly name: string
  readonly pattern: RegExp
  readonly why: string
}

export const REFUSED_KEYS: readonly RefusedKeys[] = [
  {
    name: 'textual inversion',
    pattern: /^(?:bundle_emb\.|(?:clip_l|clip_g|t5xxl|emb_params|string_to_param)\b)/,
    why: 'is an embedding (textual inversion), which no weight can take: take it out of the file, and load it beside the model',
  },
  {
    name: 'T-LoRA',
    pattern: /\.(?:lambda_layer|[pq]_layer\.weight)$/,
    why: 'is of T-LoRA, whose ranks depend on the step of the diffusion, and whose file lacks the factors that training began with: load it with LyCORIS',
  },
  {
    name: 'OFT of LyCORIS before 2',
    pattern: /\.oft_diag$/,
    why: 'is a rotation as LyCORIS stored it before version 2, in a form that later ones do not read: train it again, or load it with the version that made it',
  },
  {
    name: 'control LoRA',
    pattern: /\.(?:query_norm|key_norm)\.scale$|\.(?:reshape_weight|set_weight)$/,
    why: 'replaces or widens a tensor of the base (control LoRA): load it with ComfyUI or diffusers, which build the changed model',
  },
]
