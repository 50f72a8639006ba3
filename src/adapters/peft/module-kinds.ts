/**
 * THE table of what can be trained in a module, by the tensors that it has: which of them belong together, which may be
 * there too, and which peft_type has them.
 *
 * Law: PEFT 0.21.2 tuners/<type>/layer.py.
 */
import type { ModuleKind } from '../adapter-file.js'
import type { FactorRole, NumberedRole } from '../key-suffixes.js'

export interface KindRow {
  readonly kind: ModuleKind
  /** All of these; when there are none, at least one of `may`. */
  readonly needs: readonly FactorRole[]
  /** And any of these. */
  readonly may?: readonly FactorRole[]
  /** And any number of these. */
  readonly many?: readonly NumberedRole[]
  /** Kinds of adapters that have it; every one when there are none. */
  readonly types?: readonly string[]
  /** For people, when it has no business there. */
  readonly what: string
}

/** The first row whose first role is there is the one that must be complete; what it takes is gone for the rows after it. */
export const MODULE_KINDS: readonly KindRow[] = [
  { kind: 'lora', needs: ['A', 'B'], may: ['magnitude', 'trainedBias', 'diagonal'], types: ['LORA'], what: 'factors of LoRA' },
  { kind: 'embedding', needs: ['embeddingA', 'embeddingB'], may: ['magnitude'], types: ['LORA'], what: 'LoRA on an embedding' },
  { kind: 'adalora', needs: ['bareA', 'bareB', 'bareE'], types: ['ADALORA'], what: 'loralib or AdaLoRA factors (no ".weight")' },
  { kind: 'ia3', needs: ['ia3'], types: ['IA3'], what: 'a vector of IA3' },
  { kind: 'loha', needs: ['hada1A', 'hada1B', 'hada2A', 'hada2B'], may: ['hada1Core', 'hada2Core'], types: ['LOHA'], what: 'factors of LoHa' },
  { kind: 'lokr', needs: ['lokr1', 'lokr2'], types: ['LOKR'], what: 'factors of LoKr' },
  { kind: 'lokr', needs: ['lokr1', 'lokr2A', 'lokr2B'], may: ['lokr2Core'], types: ['LOKR'], what: 'factors of LoKr' },
  { kind: 'lokr', needs: ['lokr1A', 'lokr1B', 'lokr2'], types: ['LOKR'], what: 'factors of LoKr' },
  { kind: 'lokr', needs: ['lokr1A', 'lokr1B', 'lokr2A', 'lokr2B'], may: ['lokr2Core'], types: ['LOKR'], what: 'factors of LoKr' },
  { kind: 'vera', needs: ['veraRowsOfB', 'veraRowsOfA'], types: ['VERA'], what: 'vectors of VeRA' },
  { kind: 'pvera', needs: ['veraRowsOfB', 'veraRowsOfA'], types: ['PVERA'], what: 'vectors of pVeRA' },
  { kind: 'delora', needs: ['deloraA', 'deloraB', 'deloraLambda', 'deloraNorm'], types: ['DELORA'], what: 'factors of DeLoRA' },
  { kind: 'hira', needs: ['hiraA', 'hiraB'], types: ['HIRA'], what: 'factors of HiRA' },
  { kind: 'hira', needs: ['hiraEmbeddingA', 'hiraEmbeddingB'], types: ['HIRA'], what: 'HiRA on an embedding' },
  { kind: 'miss', needs: ['miss'], types: ['MISS', 'BONE'], what: 'a block of MiSS' },
  { kind: 'oft', needs: ['oft'], types: ['OFT'], what: 'blocks of OFT' },
  { kind: 'oft', needs: ['oftEmbedding'], types: ['OFT'], what: 'OFT on an embedding' },
  { kind: 'boft', needs: ['boft', 'boftRows'], types: ['BOFT'], what: 'blocks of BOFT' },
  { kind: 'hra', needs: ['hra'], types: ['HRA'], what: 'mirrors of HRA' },
  { kind: 'road', needs: ['roadAngles', 'roadLengths'], types: ['ROAD'], what: 'angles of RoAd' },
  { kind: 'sparse', needs: ['sparseValues', 'sparsePositions'], types: ['SHIRA'], what: 'values of SHiRA' },
  { kind: 'sparse', needs: ['sparseValues', 'sparsePositions'], may: ['superA', 'superB'], types: ['SUPERTUNING'], what: 'values of Super-Tuning' },
  { kind: 'c3a', needs: ['c3a'], types: ['C3A'], what: 'kernels of C3A' },
  { kind: 'randlora', needs: ['randLambda', 'randGamma'], may: ['randA', 'randB'], types: ['RANDLORA'], what: 'scales of RandLoRA' },
  { kind: 'vblora', needs: ['vbLogitsA', 'vbLogitsB'], types: ['VBLORA'], what: 'logits of VB-LoRA' },
  { kind: 'vblora', needs: ['vbWeightsA', 'vbWeightsB', 'vbIdsA', 'vbIdsB'], types: ['VBLORA'], what: 'weights of VB-LoRA' },
  { kind: 'gralora', needs: ['graA', 'graB'], may: ['graGeneralA', 'graGeneralB'], types: ['GRALORA'], what: 'factors of GraLoRA' },
  { kind: 'tinylora', needs: ['tinyA', 'tinyB', 'tinyP'], types: ['TINYLORA'], what: 'factors of TinyLoRA' },
  {
    kind: 'glora',
    needs: [],
    may: ['gloraAd', 'gloraAu', 'gloraA', 'gloraBd', 'gloraBu', 'gloraB', 'gloraCd', 'gloraCu', 'gloraC', 'gloraD', 'gloraE'],
    types: ['GLORA'],
    what: 'paths of GLoRA',
  },
  { kind: 'deft', needs: ['deftP'], may: ['deftR'], types: ['DEFT'], what: 'factors of DEFT' },
  { kind: 'peanut', needs: ['peanutA', 'peanutB'], many: ['encoder', 'decoder'], types: ['PEANUT'], what: 'layers of PEANuT' },
  { kind: 'beft', needs: ['beft'], types: ['BEFT'], what: 'a bias of BEFT' },
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
  hiraEmbeddingA: 'hira_embedding_A',
  hiraEmbeddingB: 'hira_embedding_B',
  magnitude: 'lora_magnitude_vector',
  trainedBias: 'lora_B.bias',
  diagonal: 'lora_diag',
  boft: 'boft_R',
  boftRows: 'boft_s',
  roadAngles: 'road_theta',
  roadLengths: 'road_alpha',
  sparseValues: 'values (shira_weight, supertuning_values)',
  sparsePositions: 'indices (shira_indices, supertuning_indices: save_precomputed_indices was false)',
  superA: 'supertuning_lora_A',
  superB: 'supertuning_lora_B',
  randLambda: 'randlora_lambda',
  randGamma: 'randlora_gamma',
  vbLogitsA: 'vblora_logits_A',
  vbLogitsB: 'vblora_logits_B',
  vbWeightsA: 'vblora_logits_A_topk_weights',
  vbWeightsB: 'vblora_logits_B_topk_weights',
  vbIdsA: 'vblora_logits_A_topk_indices',
  vbIdsB: 'vblora_logits_B_topk_indices',
  graA: 'gralora_A',
  graB: 'gralora_B',
  tinyA: 'tinylora_A',
  tinyB: 'tinylora_B',
  tinyP: 'tinylora_P (save_projection was false)',
  peanutA: 'peanut_A',
  peanutB: 'peanut_B',
}
