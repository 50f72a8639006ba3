/**
 * Names of the ways in which families of models keep their tokenizer. A row of an architecture hands over one of these
 * names; src/tokenizers/recipes.ts knows the steps behind it.
 *
 * Law: every `set_vocab` of llama.cpp conversion/*.py (0c1e570); families whose steps are equal share a name. Keys that the
 * reference writes among the architecture's parameters (`tokenizer.ggml.add_bos_token` of Phi-2 and ChatGLM, mask ids of
 * diffusion models) are rows of those architectures, not of a recipe; a key that both write keeps the place of the first
 * and the value of the second.
 */

/** Recipe -> what it reads and writes, and the families that use it. */
export const TOKENIZER_RECIPES = {
  // for many families
  llama: {
    reads: 'tokenizer.model, tokenizer.json that stands for one, byte-level BPE, or tekken.json; add_space_prefix as configured; CodeLlama by its size',
    families: 'Llama 1-3, Mistral, Mixtral, Granite, SmolLM3, Arcee, Apertus, Afmoe, InternVL-like text models on Llama',
  },
  byteLevel: {
    reads: 'byte-level BPE: tokenizer.json, or vocab.json with merges.txt',
    families: 'all that have no other: Llama 4, Qwen2-MoE, Qwen3-Next, Qwen3.5, GPT-2, GPT-NeoX, GPT-OSS, Phi-2, Falcon, Bloom, StarCoder, OLMo, Command-R, …',
  },
  sentencePiece: { reads: 'tokenizer.model, or pieces rebuilt from tokenizer.json', families: 'Baichuan, MiniCPM, MiniCPM3, Orion, BitNet, PLaMo 1' },
  sentencePieceOrByteLevel: {
    reads: 'tokenizer.model, else byte-level BPE',
    families: 'Qwen2, Qwen3, Qwen3-MoE, Qwen2-VL, Qwen3-VL, DeepSeek 1, RWKV6-Qwen2, ARWKV7, OpenELM',
  },
  sentencePieceWithPrefix: { reads: 'sentencePiece, then add_space_prefix as tokenizer_config.json says', families: 'Ernie 4.5, openPangu' },
  // families of their own
  arctic: { reads: 'tokenizer.model whose added tokens redefine pieces, unknown and control tokens with score 0', families: 'Snowflake Arctic' },
  bert: { reads: 'WordPiece with a phantom space, token_type_count', families: 'Bert, DistilBert, NeoBERT' },
  chatGlm: {
    reads: 'byte-level BPE, <|endoftext|> and <|user|> as eos, eot, unk; ChatGLM 3 by name from its tokenizer.model',
    families: 'ChatGLM, GLM-4 (GlmForCausalLM)',
  },
  deci: { reads: 'byte-level BPE when vocab_size is 128256, else a tokenizer.json that stands for a SentencePiece model', families: 'Deci, Nemotron 51B' },
  deepseek2: { reads: 'byte-level BPE, else Kimi’s tiktoken.model', families: 'DeepSeek 2/3, Kimi K2, Kimi-VL, Youtu' },
  deepseek32: { reads: 'byte-level BPE that adds BOS', families: 'DeepSeek 3.2' },
  dots3: { reads: 'byte-level BPE, <|endofassistant|> as eot', families: 'dots3' },
  dream: { reads: 'sentencePieceOrByteLevel, added tokens as they are written', families: 'Dream' },
  euroBert: { reads: 'byte-level BPE after add_bos_token false', families: 'EuroBERT, Jina embeddings 5' },
  gemma: { reads: 'sentencePiece, eot 107, no space prefix', families: 'Gemma 1, CodeGemma' },
  gemma2: { reads: 'sentencePiece, no space prefix', families: 'Gemma 2' },
  gemma3: { reads: 'sentencePiece without space prefix, else byte-level BPE', families: 'Gemma 3, EmbeddingGemma, Gemma 3n' },
  gemma4: { reads: 'BPE with byte fallback and merges, visible tool and channel tokens', families: 'Gemma 4' },
  glm4: { reads: 'byte-level BPE, <|endoftext|> and <|user|> as eos, eot, unk, bos', families: 'Glm4ForCausalLM, GLM-OCR, GLM-Edge (GlmasrModel)' },
  glm4Moe: { reads: 'byte-level BPE, [gMASK], <|user|>, <|endoftext|>, <|observation|> as bos, eot, unk, eom', families: 'GLM-4.5/4.6/4.7 MoE, GLM-5' },
  graniteHybrid: { reads: 'mamba2, padded to 8 where there are Mamba layers', families: 'Granite 4 hybrid, Bamba' },
  grok: { reads: 'tokenizer.model, else byte-level BPE', families: 'Grok 1/2' },
  hunyuan: {
    reads: 'byte-level BPE, or hy.tiktoken with rebuilt merges; eos and eot from eod_token_id and generation_config.json',
    families: 'Hunyuan dense and VL',
  },
  hunyuanMoe: { reads: 'hy.tiktoken with rebuilt merges, bos 127959', families: 'Hunyuan A13B' },
  internLm2: { reads: 'tokenizer.model with \\0 and [UNUSED…] changed, <|im_end|> as eos', families: 'InternLM 2' },
  internLm3: { reads: 'sentencePiece, add_space_prefix as configured, <|im_end|> as eos', families: 'InternLM 3' },
  internS1: { reads: 'byte-level BPE, bos 151643', families: 'Intern-S1 on Qwen3 and Qwen3-MoE rows' },
  jamba: { reads: 'tokenizer.model, else a tokenizer.json that stands for one, without space prefix', families: 'Jamba' },
  jinaBert2: { reads: 'bert, byte-level BPE or whitespace words, by tokenizer_class and pre_tokenizer', families: 'Jina embeddings 2' },
  kimiK3: { reads: 'kimiLinear with the configured eos', families: 'Kimi K3' },
  kimiLinear: { reads: 'byte-level BPE, else tiktoken.model with its own eos', families: 'Kimi Linear' },
  laguna: { reads: 'byte-level BPE, </assistant> as control token and eot, chat_template.jinja first', families: 'Laguna' },
  llada: { reads: 'byte-level BPE, added tokens as they are written, add_bos_token true', families: 'LLaDA (not LLaDA-MoE, which is byteLevel)' },
  mamba: { reads: 'byte-level BPE, else tokenizer.model; vocab_size rounded up to 8', families: 'Mamba 1, FalconMamba' },
  mamba2: { reads: 'tokenizer.model, else byte-level BPE; vocab_size rounded up to 16', families: 'Mamba 2' },
  minimax: { reads: 'byte-level BPE, chat_template.jinja first', families: 'MiniMax-Text-01, M1 (M2 and later are byteLevel)' },
  mistral: { reads: 'tekken.json or a versioned tokenizer.model, as mistral-common reads them', families: 'Checkpoints in Mistral’s own format (params.json)' },
  modernBert: { reads: 'byte-level BPE after add_bos, add_eos and add_sep true', families: 'ModernBERT' },
  mpt: { reads: 'byte-level BPE, else tokenizer.model with fixed ids (SEA-LION)', families: 'MPT' },
  museGlimmer: { reads: 'byte-level BPE, <|eot|> as eot', families: 'Muse Glimmer' },
  nemotron: { reads: 'sentencePiece, pad 0, unk 1', families: 'Nemotron, Minitron' },
  nemotronH: { reads: 'byte-level BPE; vocab_size rounded up to 8', families: 'Nemotron-H, Nemotron 3' },
  nomicBert: { reads: 'xlmRoberta when the tokenizer is one, else bert', families: 'Nomic Embed 1, 1.5, 2' },
  phi3: {
    reads: 'byte-level BPE when tokenizer_class is GPT2Tokenizer, else tokenizer.model with the added tokens of all files',
    families: 'Phi-3, Phi-3.5-MoE, Phi-4',
  },
  plamo2: { reads: 'tokenizer.jsonl', families: 'PLaMo 2' },
  plamo3: { reads: 'tokenizer.jsonl, chat template', families: 'PLaMo 3' },
  qwen: { reads: 'qwen.tiktoken with rebuilt merges', families: 'Qwen 1' },
  qwen3Asr: { reads: 'sentencePieceOrByteLevel, ChatML template, <|im_end|> as bos and eos', families: 'Qwen3-ASR' },
  qwen3Omni: { reads: 'sentencePieceOrByteLevel, <|im_end|> as bos and eos', families: 'Qwen3-Omni' },
  refact: { reads: 'byte-level BPE, read again for an eot token', families: 'Refact' },
  roberta: { reads: 'byte-level BPE with token_type_count, else bert', families: 'RoBERTa' },
  rwkvWorld: { reads: 'rwkv_vocab_v20230424.txt', families: 'RWKV 6 and 7' },
  solarOpen: { reads: 'byte-level BPE, <|endoftext|>, <unk>, <|startoftext|> as eos, eot, unk, bos', families: 'Solar Open' },
  stableLm: { reads: 'byte-level BPE, or a tiktoken file with rebuilt merges (arcade100k)', families: 'StableLM' },
  t5: { reads: 'SentencePiece unigram (tokenizer.model, spiece.model) with its charsmap', families: 'T5, mT5, UMT5, Flan-T5, T5 encoders' },
  xlmRoberta: {
    reads: 'SentencePiece unigram (sentencepiece.bpe.model, or tokenizer.json) with ids realigned',
    families: 'XLM-RoBERTa, BGE-M3, Jina embeddings 3',
  },
  xverse: { reads: 'tokenizer.json that stands for a SentencePiece model, without scores', families: 'XVERSE' },
} as const satisfies Readonly<Record<string, { reads: string; families: string }>>

/** Name of a recipe: how a family of models keeps its tokenizer. */
export type TokenizerRecipe = keyof typeof TOKENIZER_RECIPES
