/**
 * THE table of what sd-scripts, LyCORIS and diffusers can train in a module of a pipeline, by the tensors that it has.
 *
 * Law: LyCORIS 4.1 modules/*.py; sd-scripts networks/*.py.
 */
import type { TensorInfo } from '../core/tensor-info.js'
import type { DiffusionKind } from './adapter-file.js'
import type { DiffusionRole } from './diffusion-keys.js'

export interface DiffusionKindRow {
  readonly kind: DiffusionKind
  /** For people. */
  readonly name: string
  /** All of these. */
  readonly needs: readonly DiffusionRole[]
  /** And any of these. */
  readonly may: readonly DiffusionRole[]
  /** What alpha is divided by; undefined where there is none, and no alpha counts. */
  readonly rank?: (factors: ReadonlyMap<DiffusionRole, TensorInfo>) => number
}

const SCALED = ['alpha', 'doraScale'] as const
const rankOf =
  (role: DiffusionRole) =>
  (factors: ReadonlyMap<DiffusionRole, TensorInfo>): number =>
    factors.get(role)?.shape[0] ?? 0

/** The first row that is complete has the module. */
export const DIFFUSION_KINDS: readonly DiffusionKindRow[] = [
  { kind: 'locon', name: 'LoRA', needs: ['A', 'B'], may: [...SCALED, 'mid', 'magnitude', 'trainedBias'], rank: rankOf('A') },
  { kind: 'hadamard', name: 'LoHa', needs: ['hada1A', 'hada1B', 'hada2A', 'hada2B'], may: [...SCALED, 'hada1T', 'hada2T'], rank: rankOf('hada1B') },
  { kind: 'kronecker', name: 'LoKr', needs: ['lokr1', 'lokr2A', 'lokr2B'], may: [...SCALED, 'lokr2T'], rank: rankOf('lokr2B') },
  { kind: 'kronecker', name: 'LoKr', needs: ['lokr1A', 'lokr1B', 'lokr2A', 'lokr2B'], may: [...SCALED, 'lokr2T'], rank: rankOf('lokr2B') },
  { kind: 'kronecker', name: 'LoKr', needs: ['lokr1A', 'lokr1B', 'lokr2'], may: SCALED, rank: rankOf('lokr1B') },
  { kind: 'kronecker', name: 'LoKr', needs: ['lokr1', 'lokr2'], may: SCALED }, // two whole factors: the alpha that is stored counts for nothing
  { kind: 'lycorisGlora', name: 'GLoRA', needs: ['gloraA1', 'gloraA2', 'gloraB1', 'gloraB2'], may: ['alpha', 'gloraBM'], rank: gloraRank },
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
  onInput: 'on_input',
}

/** Both layouts of GLoRA, a1 (in x rank) and, before LyCORIS 2, (rank x in), have the rank as the smaller dimension. */
function gloraRank(factors: ReadonlyMap<DiffusionRole, TensorInfo>): number {
  const [rows = 0, cols = 0] = factors.get('gloraA1')?.shape ?? []
  return Math.min(rows, cols)
}
