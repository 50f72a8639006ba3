/** Keys of adapters for diffusion pipelines: whose they are, which module they name. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isLycorisKey, looksLikeDiffusion, looksLikeKohya, splitDiffusionKey } from '../src/adapters/diffusion/diffusion-keys.js'

const ATTENTION = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1'
const FLAT = ATTENTION.replaceAll('.', '_')

describe('a key of an adapter for a diffusion pipeline', () => {
  for (const [key, component, module, role] of [
    [`lora_unet_${FLAT}_to_q.lora_down.weight`, 'unet', `${FLAT}_to_q`, 'A'],
    [`lora_unet_${FLAT}_to_q.alpha`, 'unet', `${FLAT}_to_q`, 'alpha'],
    ['lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight', 'text_encoder', 'text_model_encoder_layers_0_mlp_fc1', 'B'],
    ['lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight', 'text_encoder', 'text_model_encoder_layers_0_mlp_fc1', 'B'],
    ['lora_te2_text_projection.lora_down.weight', 'text_encoder_2', 'text_projection', 'A'],
    ['lora_te3_encoder_block_0_layer_0_SelfAttention_q.lora_down.weight', 'text_encoder_3', 'encoder_block_0_layer_0_SelfAttention_q', 'A'],
    ['lycoris_transformer_blocks_0_attn_to_q.lokr_w2_a', undefined, 'transformer_blocks_0_attn_to_q', 'lokr2A'],
    ['lora_unet_conv_in.lora_mid.weight', 'unet', 'conv_in', 'mid'],
    ['lora_unet_conv_in.weight', 'unet', 'conv_in', 'modulation'],
    ['lora_unet_conv_in.on_input', 'unet', 'conv_in', 'onInput'],
    [`unet.${ATTENTION}.to_q.lora_A.weight`, 'unet', `${ATTENTION}.to_q`, 'A'],
    [`unet.${ATTENTION}.to_q.lora_A.default.weight`, 'unet', `${ATTENTION}.to_q`, 'A'],
    [`unet.${ATTENTION}.to_q.lora_magnitude_vector`, 'unet', `${ATTENTION}.to_q`, 'magnitude'],
    [`unet.${ATTENTION}.to_q.lora.down.weight`, 'unet', `${ATTENTION}.to_q`, 'A'],
    [`unet.${ATTENTION}.processor.to_q_lora.up.weight`, 'unet', `${ATTENTION}.to_q`, 'B'],
    [`${ATTENTION}.processor.to_out_lora.down.weight`, undefined, `${ATTENTION}.to_out.0`, 'A'],
    ['text_encoder.text_model.encoder.layers.3.self_attn.to_out_lora.down.weight', 'text_encoder', 'text_model.encoder.layers.3.self_attn.out_proj', 'A'],
    [
      'text_encoder.text_model.encoder.layers.3.self_attn.q_proj.lora_linear_layer.up.weight',
      'text_encoder',
      'text_model.encoder.layers.3.self_attn.q_proj',
      'B',
    ],
    ['transformer.transformer_blocks.0.attn.to_q.lora_B.weight', 'transformer', 'transformer_blocks.0.attn.to_q', 'B'],
    ['diffusion_model.double_blocks.0.img_attn.qkv.lora_B.weight', 'unet', 'double_blocks.0.img_attn.qkv', 'B'],
    ['text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.lora_A.weight', 'text_encoder', 'text_model.encoder.layers.0.mlp.fc1', 'A'],
    ['text_encoders.clip_g.transformer.text_model.encoder.layers.0.mlp.fc1.lora_A.weight', 'text_encoder_2', 'text_model.encoder.layers.0.mlp.fc1', 'A'],
    ['text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q.lora_A.weight', 'text_encoder_3', 'encoder.block.0.layer.0.SelfAttention.q', 'A'],
    ['double_blocks.3.processor.qkv_lora2.down.weight', undefined, 'double_blocks.3.qkv2', 'A'],
    ['single_blocks.3.processor.proj_lora.up.weight', undefined, 'single_blocks.3.proj', 'B'],
    ['oft_unet_double_blocks_0_img_attn_qkv.oft_blocks.2', 'unet', 'double_blocks_0_img_attn_qkv', 'oftBlocks2'],
  ] as const) {
    it(`${key} names ${module}`, () => {
      const split = splitDiffusionKey(key)
      assert.deepEqual([split?.component, split?.module, split?.role], [component, module, role])
    })
  }

  it('of another spelling is none', () => {
    for (const key of [
      'conv_in.weight',
      'lora_down.weight',
      'lora_unet_x.lora_down',
      'lora_unet_x.lora_down.bias',
      'unet.conv_in.lora_C.weight',
      'bundle_emb.a.clip_l',
      '',
    ])
      assert.equal(splitDiffusionKey(key), undefined, key)
  })

  it('tells formats apart', () => {
    assert.equal(looksLikeKohya(['lora_unet_x.lora_down.weight']), true)
    assert.equal(looksLikeKohya(['unet.x.lora_A.weight']), false)
    assert.deepEqual(['lora_unet_x.lora_down.weight', 'lora_unet_x.lokr_w1', 'lycoris_x.lora_down.weight'].map(isLycorisKey), [false, true, true])
    assert.equal(looksLikeDiffusion(['x.lora.down.weight']), true)
  })

  it("is not taken from PEFT's adapters and from models", () => {
    const q = 'model.layers.0.self_attn.q_proj'
    for (const key of [
      `base_model.model.${q}.lora_A.weight`,
      `base_model.model.${q}.lokr_w1`,
      `${q}.lora_A.weight`,
      `${q}.weight`,
      `${q}.lora_a`,
      'blk.0.a1.weight',
    ])
      assert.equal(looksLikeDiffusion([key]) || looksLikeKohya([key]), false, key)
  })
})
