/**
 * THE table of what can be trained in a module, by the tensors that it has: which of them belong together, which may be
 * there too, and which peft_type has them.
 *
 * Law: PEFT 0.21.2 tuners/<type>/layer.py.
 */
import type { ModuleKind } from './adapter-file.js'
import type { FactorRole } from './key-suffixes.js'

export interface KindRow {
  readonly kind: ModuleKind
  /** All of these. */
  readonly needs: readonly FactorRole[]
  /** And any of these. */
  readonly may?: readonly FactorRole[]
  /** Kinds of adapters that have it; every one when there are none. */
  readonly types?: readonly string[]
  /** For people, when it has no business there. */
  readonly what: string
}

/** The first row whose first role is there is the one that must be complete; what it takes is gone for the rows after it. */
export const MODULE_KINDS: readonly KindRow[] = [
  { kind: 'lora', needs: ['A', 'B'], may: ['magnitude', 'trainedBias'], types: ['LORA'], what: 'factors of LoRA' },
  { kind: 'embedding', needs: ['embeddingA', 'embeddingB'], may: ['magnitude'], types: ['LORA'], what: 'LoRA on an embedding' },
  { kind: 'adalora', needs: ['bareA', 'bareB', 'bareE'], types: ['ADALORA'], what: 'loralib or AdaLoRA factors (no ".weight")' },
  { kind: 'ia3', needs: ['ia3'], types: ['IA3'], what: 'a vector of IA3' },
  { kind: 'loha', needs: ['hada1A', 'hada1B', 'hada2A', 'hada2B'], types: ['LOHA'], what: 'factors of LoHa' },
  { kind: 'lokr', needs: ['lokr1', 'lokr2'], types: ['LOKR'], what: 'factors of LoKr' },
  { kind: 'lokr', needs: ['lokr1', 'lokr2A', 'lokr2B'], types: ['LOKR'], what: 'factors of LoKr' },
  { kind: 'lokr', needs: ['lokr1A', 'lokr1B', 'lokr2'], types: ['LOKR'], what: 'factors of LoKr' },
  { kind: 'lokr', needs: ['lokr1A', 'lokr1B', 'lokr2A', 'lokr2B'], types: ['LOKR'], what: 'factors of LoKr' },
  { kind: 'vera', needs: ['veraRowsOfB', 'veraRowsOfA'], types: ['VERA'], what: 'vectors of VeRA' },
  { kind: 'pvera', needs: ['veraRowsOfB', 'veraRowsOfA'], types: ['PVERA'], what: 'vectors of pVeRA' },
  { kind: 'delora', needs: ['deloraA', 'deloraB', 'deloraLambda', 'deloraNorm'], types: ['DELORA'], what: 'factors of DeLoRA' },
  { kind: 'hira', needs: ['hiraA', 'hiraB'], types: ['HIRA'], what: 'factors of HiRA' },
  { kind: 'miss', needs: ['miss'], types: ['MISS', 'BONE'], what: 'a block of MiSS' },
  { kind: 'tokens', needs: ['tokens'], what: 'trained token rows' },
  { kind: 'whole', needs: ['baseWeight'], may: ['baseBias'], what: 'a whole tensor' },
  { kind: 'whole', needs: ['baseBias'], what: 'a whole tensor' },
  { kind: 'whole', needs: ['weight'], may: ['bias'], what: 'a whole tensor' },
  { kind: 'whole', needs: ['bias'], what: 'a whole tensor' },
]

/** Spellings of roles in messages. */
export const ROLE_KEYS: Readonly<Partial<Record<FactorRole, string>>> = {
  A: 'lora_A',
  B: 'lora_B',
  embeddingA: 'lora_embedding_A',
  embeddingB: 'lora_embedding_B',
  bareA: 'lora_A',
  bareB: 'lora_B',
  bareE: 'lora_E',
  hada1A: 'hada_w1_a',
  hada1B: 'hada_w1_b',
  hada2A: 'hada_w2_a',
  hada2B: 'hada_w2_b',
  lokr1A: 'lokr_w1_a',
  lokr1B: 'lokr_w1_b',
  lokr2: 'lokr_w2',
  lokr2A: 'lokr_w2_a',
  lokr2B: 'lokr_w2_b',
  veraRowsOfA: 'vera_lambda_d',
  veraRowsOfB: 'vera_lambda_b',
  deloraA: 'delora_A',
  deloraB: 'delora_B',
  deloraLambda: 'delora_lambda',
  deloraNorm: 'delora_w_norm',
  hiraA: 'hira_A',
  hiraB: 'hira_B',
  magnitude: 'lora_magnitude_vector',
  trainedBias: 'lora_B.bias',
}
