/**
 * THE table of names that differ between a model's class (what an adapter speaks) and its checkpoint: one row per rename.
 * A row stands for a run of components anywhere in a name; `#` is a number, and both sides have as many of them. Rows are
 * read in both directions (one name in one of them), and only where the base has the renamed tensor and not the one that was asked for, so most
 * need no model type; those that would fit other models too have one. Prefixes are not here (module-paths.ts), fused
 * experts have a table of their own (expert-layouts.ts).
 *
 * Law: transformers 5.23 conversion_mapping.py, checked by running all of its classes (fixtures/make/module_names.py).
 */

/** Names of one family of models. */
export interface RenamedFamily {
  /** Which models; for readers. */
  readonly family: string
  /** The rows hold for models of these types (`model_type` of config.json or a part of it) only. */
  readonly only?: readonly string[]
  /** In the class, in the checkpoint. */
  readonly renames: readonly (readonly [module: string, checkpoint: string])[]
}

export const MODULE_RENAMES: readonly RenamedFamily[] = [
  { family: 'gpt_neox', renames: [['lm_head', 'embed_out']] },
  {
    family: 'mixtral, minimax, kimi_linear, phimoe',
    renames: [
      ['mlp', 'block_sparse_moe'],
      ['mlp.router', 'block_sparse_moe.gate'],
    ],
  },
  {
    family: 'granitemoe, granitemoeshared, granitemoehybrid',
    renames: [
      ['block_sparse_moe.router', 'block_sparse_moe.router.layer'],
      ['block_sparse_moe.experts.gate_up_proj', 'block_sparse_moe.input_linear.weight'],
      ['block_sparse_moe.experts.down_proj', 'block_sparse_moe.output_linear.weight'],
    ],
  },
  {
    family: 'aria',
    renames: [
      ['mlp.experts.gate_up_proj', 'mlp.experts.fc1.weight'],
      ['mlp.experts.down_proj', 'mlp.experts.fc2.weight'],
    ],
  },
  {
    family: 'hy_v3',
    renames: [
      ['mlp.gate', 'mlp.router.gate'],
      ['mlp.shared_experts', 'mlp.shared_mlp'],
    ],
  },
  { family: 'laguna', renames: [['mlp.shared_experts', 'mlp.shared_expert']] },
  {
    family: 'step3p7',
    renames: [
      ['mlp.gate', 'moe.gate'],
      ['mlp.shared_experts', 'share_expert'],
      ['mlp.experts.down_proj', 'moe.down_proj.weight'],
      ['mlp.experts', 'moe'],
    ],
  },
  {
    family: 'glm5_next, kimi_linear, bailing_hybrid',
    renames: [
      ['self_attn.forget_gate.f_a_proj', 'self_attn.f_a_proj'],
      ['self_attn.forget_gate.f_b_proj', 'self_attn.f_b_proj'],
      ['self_attn.forget_gate.f_proj', 'attention.f_proj'],
    ],
  },
  {
    family: 'bailing_hybrid',
    only: ['bailing_hybrid'],
    renames: [
      ['embed_tokens', 'word_embeddings'],
      ['self_attn.o_proj', 'attention.dense'],
      ['self_attn', 'attention'],
    ],
  },
  {
    family: 'deepseek_v4',
    only: ['deepseek_v4'],
    renames: [
      ['embed_tokens', 'embed'],
      ['lm_head', 'head'],
      ['self_attn.q_a_proj', 'attn.wq_a'],
      ['self_attn.q_b_proj', 'attn.wq_b'],
      ['self_attn.kv_proj', 'attn.wkv'],
      ['self_attn.o_a_proj', 'attn.wo_a'],
      ['self_attn.o_b_proj', 'attn.wo_b'],
      ['self_attn.compressor.kv_proj', 'attn.compressor.wkv'],
      ['self_attn.compressor.gate_proj', 'attn.compressor.wgate'],
      ['self_attn.compressor.indexer.kv_proj', 'attn.indexer.compressor.wkv'],
      ['self_attn.compressor.indexer.gate_proj', 'attn.indexer.compressor.wgate'],
      ['self_attn.compressor.indexer.q_b_proj', 'attn.indexer.wq_b'],
      ['self_attn.compressor.indexer.scorer.weights_proj', 'attn.indexer.weights_proj'],
      ['mlp.shared_experts.gate_proj', 'ffn.shared_experts.w1'],
      ['mlp.shared_experts.up_proj', 'ffn.shared_experts.w3'],
      ['mlp.shared_experts.down_proj', 'ffn.shared_experts.w2'],
      ['mlp', 'ffn'],
    ],
  },
  {
    family: 'axk2',
    only: ['axk2'],
    renames: [
      ['input_layernorm.mlp.fc1', 'input_layernorm.W_down'],
      ['input_layernorm.mlp.fc2', 'input_layernorm.W_up'],
      ['post_attention_layernorm.mlp.fc1', 'post_attention_layernorm.W_down'],
      ['post_attention_layernorm.mlp.fc2', 'post_attention_layernorm.W_up'],
      ['self_attn.q_gate_proj', 'self_attn.q_b_proj'],
    ],
  },
  {
    family: 'olmo_hybrid',
    renames: [
      ['input_layernorm', 'attention_layer_norm'],
      ['post_attention_layernorm', 'feedforward_layer_norm'],
    ],
  },
  { family: 'hy_v4', only: ['hy_v4'], renames: [['self_attn.gate_proj', 'self_attn.linear_gate']] },
  {
    family: 'mistral_large4 (its text model; its vision tower has another order of rows)',
    only: ['mistral_large4', 'mistral_large4_text'],
    renames: [
      ['lm_head', 'output'],
      ['language_model.embed_tokens', 'tok_embeddings'],
      ['self_attn.kv_a_proj_with_mqa', 'attention.wkv_a_with_mqa'],
      ['self_attn.kv_b_proj', 'attention.wkv_b'],
      ['self_attn.q_proj', 'attention.wq'],
      ['self_attn.o_proj', 'attention.wo'],
      ['self_attn.q_a_proj', 'attention.wq_a'],
      ['self_attn.q_b_proj', 'attention.wq_b'],
      ['self_attn.indexer', 'attention.indexer'],
      ['mlp.gate', 'gate'],
      ['mlp.gate_proj', 'feed_forward.w1'],
      ['mlp.up_proj', 'feed_forward.w3'],
      ['mlp.down_proj', 'feed_forward.w2'],
      ['mlp.shared_experts.gate_proj', 'shared_experts.w1'],
      ['mlp.shared_experts.up_proj', 'shared_experts.w3'],
      ['mlp.shared_experts.down_proj', 'shared_experts.w2'],
      ['mlp.experts', 'experts'],
    ],
  },
  { family: 'lfm3', only: ['lfm3', 'lfm3_vl'], renames: [['self_attn.g_proj', 'self_attn.gate_proj']] },
  {
    family: 'cosmos3',
    only: ['cosmos3_edge', 'cosmos3_omni', 'cosmos3_edge_text', 'cosmos3_omni_text'],
    renames: [
      ['self_attn.q_proj', 'self_attn.to_q'],
      ['self_attn.k_proj', 'self_attn.to_k'],
      ['self_attn.v_proj', 'self_attn.to_v'],
      ['self_attn.o_proj', 'self_attn.to_out'],
      ['mlp.fc1', 'mlp.up_proj'],
      ['mlp.fc2', 'mlp.down_proj'],
    ],
  },
  {
    family: 'vision and text towers of CLIP and SigLIP, as parts of other models',
    renames: [
      ['vision_tower', 'vision_tower.vision_model'],
      ['vision_model', 'vision_model.vision_model'],
      ['image_tower', 'image_tower.vision_model'],
      ['video_tower', 'video_tower.vision_model'],
      ['text_model', 'text_model.text_model'],
      ['vision_tower', 'vision_model'],
      ['vision_model.encoder.layers', 'vision_model.encoder.layer'],
      ['vision_tower.layers', 'vision_tower.vision_model.encoder.layers'],
    ],
  },
  {
    family: 'language models inside of others: shieldgemma2, hyperclovax_vision_v2, pi0, nemotron_h_omni, t5gemma2',
    renames: [
      ['language_model', 'language_model.model'],
      ['language_model.model', 'language_model.backbone'],
      ['encoder.text_model', 'encoder'],
    ],
  },
  {
    family: 'projectors: paddleocr_vl, hyperclovax_vision_v2, minimax_m3_vl, step3p7',
    renames: [
      ['projector', 'mlp_AR'],
      ['projector', 'vision_projector'],
      ['multi_modal_projector', 'vit_large_projector'],
      ['multi_modal_projector.merge_linear_1', 'patch_merge_mlp.linear_1'],
      ['multi_modal_projector.merge_linear_2', 'patch_merge_mlp.linear_2'],
    ],
  },
  { family: 'roberta in altclip', renames: [['roberta.encoder.layers', 'roberta.encoder.layer']] },
  {
    family: 'vit, deit, beit, vit_mae, vit_msn, ijepa, audio-spectrogram-transformer, vivit',
    renames: [
      ['layers.#.attention.q_proj', 'encoder.layer.#.attention.attention.query'],
      ['layers.#.attention.k_proj', 'encoder.layer.#.attention.attention.key'],
      ['layers.#.attention.v_proj', 'encoder.layer.#.attention.attention.value'],
      ['layers.#.attention.o_proj', 'encoder.layer.#.attention.output.dense'],
      ['layers.#.mlp.fc1', 'encoder.layer.#.intermediate.dense'],
      ['layers.#.mlp.fc2', 'encoder.layer.#.output.dense'],
    ],
  },
  {
    family: 'dinov2, swin and their kin',
    renames: [
      ['attention.q_proj', 'attention.attention.query'],
      ['attention.k_proj', 'attention.attention.key'],
      ['attention.v_proj', 'attention.attention.value'],
      ['attention.q_proj', 'attention.self.query'],
      ['attention.k_proj', 'attention.self.key'],
      ['attention.v_proj', 'attention.self.value'],
      ['attention.o_proj', 'attention.output.dense'],
      ['mlp.fc1', 'intermediate.dense'],
      ['mlp.fc2', 'output.dense'],
      ['mlp.down_proj', 'mlp.weights_out'],
    ],
  },
  {
    family: 'segformer',
    renames: [
      ['stages.#.blocks.#.attention.q_proj', 'encoder.block.#.#.attention.self.query'],
      ['stages.#.blocks.#.attention.k_proj', 'encoder.block.#.#.attention.self.key'],
      ['stages.#.blocks.#.attention.v_proj', 'encoder.block.#.#.attention.self.value'],
      ['stages.#.blocks.#.attention.o_proj', 'encoder.block.#.#.attention.output.dense'],
      ['stages.#.blocks.#.mlp.fc1', 'encoder.block.#.#.mlp.dense1'],
      ['stages.#.blocks.#.mlp.fc2', 'encoder.block.#.#.mlp.dense2'],
    ],
  },
  {
    family: 'nomic_bert, gte, jina_embeddings_v3, hrm_text (their fused layers: expert-layouts.ts)',
    renames: [
      ['layers.#.self_attn.o_proj', 'encoder.layers.#.attn.out_proj'],
      ['layers.#.self_attn.o_proj', 'encoder.layers.#.mixer.out_proj'],
      ['layers.#.self_attn.o_proj', 'encoder.layer.#.attention.o_proj'],
      ['layers.#.mlp.up_proj', 'encoder.layers.#.mlp.fc11'],
      ['layers.#.mlp.gate_proj', 'encoder.layers.#.mlp.fc12'],
      ['layers.#.mlp.down_proj', 'encoder.layers.#.mlp.fc2'],
      ['self_attn.o_proj', 'attn.o_proj'],
      ['layers.#.attn', 'encoder.layers.#.attn'],
      ['layers.#.mixer', 'encoder.layers.#.mixer'],
      ['layers.#.attention', 'encoder.layer.#.attention'],
      ['layers.#.mlp', 'encoder.layers.#.mlp'],
      ['layers.#.mlp', 'encoder.layer.#.mlp'],
    ],
  },
]
