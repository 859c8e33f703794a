#!/usr/bin/env bash
# config.json: written for other tools, and read from theirs.
. "$(dirname "$0")/xlmrun_lib.sh"

# saved NAME MODEL FLAG...: a checkpoint after one step.
saved() {
  local name=$1 text=$2
  shift 2
  expect 0 "checkpoint $name/" "$run" train "$source_dir/models/$text.xlm" --data corpus.txt --max-steps 1 --seq-length 16 \
    --global-batch-size 2 --micro-batch-size 2 --eval-interval 0 --output-dir "$name" "$@"
}
# holds NAME LINE...: lines of its config.json, and no key twice.
holds() {
  local file=$1/step-00000001/config.json
  shift
  for line in "$@"; do grep -qE "^  $line,?$" "$file" || fail "no '$line': $(cat "$file")"; done
  [ -z "$(grep -o '^  "[a-z_]*"' "$file" | sort | uniq -d)" ] || fail "a key twice: $(cat "$file")"
}
moe=(--hidden-size 16 --set layers=1 --set heads=2 --set kv_heads=2 --intermediate-size 16 --vocab-size 256 --set experts=2)

# Reals stay real, whole ones too. What the coefficient means there and here, test_parity shows.
saved moe mixtral "${moe[@]}" --router-aux-loss-coef 0
holds moe '"router_aux_loss_coef": 0.0' '"rope_theta": 1000000.0' '"rms_norm_eps": 1e-05' '"hidden_size": 16' '"max_position_embeddings": 16'
saved moe1 mixtral "${moe[@]}" --router-aux-loss-coef 1
holds moe1 '"router_aux_loss_coef": 1.0'

# Whether the head is the embedding is seen in the graph, not guessed from names.
small=(--set layers=1 --set heads=2 --vocab-size 256)
saved llama llama "${small[@]}" --hidden-size 16 --intermediate-size 16
holds llama '"tie_word_embeddings": false'
saved gpt2 gpt2 "${small[@]}" --hidden-size 16
holds gpt2 '"tie_word_embeddings": true'
saved qwen3 qwen3 "${small[@]}" --hidden-size 16 --intermediate-size 16 --set kv_heads=2 --head-dim 8
holds qwen3 '"tie_word_embeddings": true'
sed 's/"lm_head.weight"/"another.weight"/' "$source_dir/models/llama.xlm" >renamed.xlm
expect 0 'checkpoint renamed/' "$run" train renamed.xlm --data corpus.txt --max-steps 1 --seq-length 16 --global-batch-size 2 \
  --micro-batch-size 2 --eval-interval 0 --output-dir renamed "${small[@]}" --hidden-size 16 --intermediate-size 16
holds renamed '"tie_word_embeddings": false'

# Scaled rotary frequencies are written as the model computes them, and compared with those of weights in either form.
saved scaled llama "${small[@]}" --hidden-size 16 --intermediate-size 16 --set stretch=8
holds scaled '"rope_scaling": \{"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192, "low_freq_factor": 1.0, "high_freq_factor": 4.0\}'
scaled() { # CODE TEXT FACTOR
  expect "$1" "$2" "$run" train "$source_dir/models/llama.xlm" --data corpus.txt --max-steps 1 --seq-length 16 --global-batch-size 2 \
    --micro-batch-size 2 --eval-interval 0 "${small[@]}" --hidden-size 16 --intermediate-size 16 --init-from scaled_weights --overwrite \
    --output-dir started --set stretch="$3"
}
mkdir scaled_weights && cp scaled/step-00000001/{model.safetensors,config.json} scaled_weights/
scaled 0 'checkpoint started/' 8
scaled 1 'scales its rotary embeddings otherwise: factor = 8 there and 4 here' 4
scaled 1 "scales its rotary embeddings (rope_scaling of type 'llama3'), and this model does not" 1
sed -i 's/"rope_scaling": {"rope_type"/"rope_parameters": {"rope_theta": 10000.0, "rope_type"/' scaled_weights/config.json
scaled 0 'checkpoint started/' 8
scaled 1 'scales its rotary embeddings otherwise: factor = 8 there and 4 here' 4

# The config section: any key, lists, objects, strings that depend on settings, kinds of numbers; it replaces a public name.
sed '/^config huggingface/,$d' "$source_dir/models/llama.xlm" >own.xlm
cat >>own.xlm <<'END'
let big = 3.0
config huggingface {
  architectures = ["MyModel", "Other"]
  hidden_act    = if tied then "gelu" else "silu"
  rope_scaling  = { rope_type = "default"  rope_theta = theta }
  kinds         = [repeat layers + 1 as i { if i % 2 == 0 then "a" else "b", i }]
  numbers       = [big, 2 * big, hidden / 8, 1 / 4, not tied, eps, [], {}]
  vocab_size    = vocab + 1
  "a key"       = none
}
END
xlmrun_own() { expect 0 'checkpoint own/' "$run" train own.xlm --data corpus.txt --max-steps 1 --seq-length 16 --global-batch-size 2 --micro-batch-size 2 \
  --eval-interval 0 --output-dir own "${small[@]}" --hidden-size 16 --intermediate-size 16 --overwrite "$@"; }
xlmrun_own
holds own '"model_type": "llama"' '"architectures": \["MyModel", "Other"\]' '"hidden_act": "silu"' \
  '"rope_scaling": {"rope_type": "default", "rope_theta": 10000.0}' '"kinds": \["a", 0, "b", 1\]' \
  '"numbers": \[3.0, 6.0, 2, 0.25, true, 1e-05, \[\], \{\}\]' '"vocab_size": 257' '"a key": null' '"hidden_size": 16'
xlmrun_own --set big=1
holds own '"numbers": \[1.0, 2.0, 2, 0.25, true, 1e-05, \[\], \{\}\]'
# Ids of tokens: as the section says, else under their public name, else null; each once, also where texts are generated.
sed 's/  vocab_size    = vocab + 1/  eos_token_id  = 7/; s/^let big = 3.0/&\nlet pad = 5 as pad_token_id/' own.xlm >named.xlm
expect 0 'checkpoint named/' "$run" train named.xlm --data corpus.txt --max-steps 1 --seq-length 16 --global-batch-size 2 --micro-batch-size 2 \
  --eval-interval 0 --output-dir named "${small[@]}" --hidden-size 16 --intermediate-size 16
holds named '"eos_token_id": 7' '"pad_token_id": 5' '"bos_token_id": null'
printf '{\n  "_from_model_config": true,\n  "eos_token_id": 7,\n  "pad_token_id": 5,\n  "bos_token_id": null\n}\n' |
  cmp - named/step-00000001/generation_config.json || fail "tokens: $(cat named/step-00000001/generation_config.json)"

# A plan from a file writes the same.
"$2/xlmc" plan own.xlm --format json "${small[@]}" --hidden-size 16 --intermediate-size 16 --set big=1 --seq-length 16 --global-batch-size 2 \
  --micro-batch-size 2 >own.json
cp own/step-00000001/config.json own.config
expect 0 'checkpoint own/' "$run" train own.json --data corpus.txt --max-steps 1 --eval-interval 0 --output-dir own --overwrite
cmp own.config own/step-00000001/config.json || fail 'a saved plan writes another config.json'

# Weights come with their sizes; what was given and says otherwise is refused: key, both values, what to do.
mkdir other && cp llama/step-00000001/model.safetensors llama/step-00000001/config.json other/
start=("$run" train "$source_dir/models/llama.xlm" --data corpus.txt --max-steps 1 --seq-length 16 --global-batch-size 2 --micro-batch-size 2
  --eval-interval 0 "${small[@]}" --hidden-size 16 --intermediate-size 16 --init-from other --overwrite --output-dir started)
expect 0 'checkpoint started/' "${start[@]}"
# other KEY VALUE TEXT FLAG...: config.json says that, the run says this.
other() {
  with_key "$1" "$2"
  expect 1 "$3" "${start[@]}" "${@:4}"
}
with_key() { # KEY VALUE: sets it
  grep -vE "^  \"$1\":" llama/step-00000001/config.json | sed "1s/{/{\n  \"$1\": $2,/" >other/config.json
}
other rms_norm_eps 1e-6 "says rms_norm_eps = 1e-06, and this model has 1e-05: give --rms-norm-eps 1e-06" --rms-norm-eps 1e-5
expect 0 'checkpoint started/' "${start[@]}"
holds started '"rms_norm_eps": 1e-06'
other rope_theta 500000.0 'says rope_theta = 500000, and this model has 10000: give --rope-theta 500000' --rope-theta 10000
other hidden_size 32 'says hidden_size = 32, and this model has 16: give --hidden-size 32'
other tie_word_embeddings true 'says tie_word_embeddings = true, and this model has false: give --tie-word-embeddings true' --tie-word-embeddings false
expect 1 "1 of the 12 tensors of the weights belong to no parameter of the model, first 'lm_head.weight'" "${start[@]}"
# A model text without the choice says where to find one that has it.
sed '/^let tied/d; /^  tied  /d; /^if not tied {/,/^}/{ /^if/d; /^}/d }; s/(if tied then embed else unembed)/unembed/' "$source_dir/models/llama.xlm" >head.xlm
sed -i 's/^  param unembed/param unembed/' head.xlm
expect 1 'says tie_word_embeddings = true, and in this model the head is a parameter of its own' "$run" train head.xlm "${start[@]:3}"

# A tied Llama goes out without a head and comes in again: the same loss from its checkpoint, and from its weights alone.
saved tied llama "${small[@]}" --hidden-size 16 --intermediate-size 16 --tie-word-embeddings true
holds tied '"tie_word_embeddings": true'
! grep -aq 'lm_head' tied/step-00000001/model.safetensors || fail 'a tied Llama has a head of its own'
head -c 500 corpus.txt >some.txt
"$run" eval tied/step-00000001 --data some.txt >from_checkpoint.txt 2>/dev/null
mkdir tied_weights && cp tied/step-00000001/{model.safetensors,config.json} tied_weights/
weights=("$run" eval "$source_dir/models/llama.xlm" --init-from tied_weights --data some.txt --seq-length 16
  --micro-batch-size 2 "${small[@]}" --hidden-size 16 --intermediate-size 16)
expect 1 'says tie_word_embeddings = true, and this model has false: give --tie-word-embeddings true' "${weights[@]}" --tie-word-embeddings false
expect 0 "$(cat from_checkpoint.txt)" "${weights[@]}"
other rope_scaling '{"rope_type": "llama3", "factor": 8.0}' "rope_scaling of type 'llama3'"
other rope_parameters '{"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0}' "rope_parameters of type 'yarn'"
other rope_parameters '{"sliding_attention": {"rope_type": "default"}, "full_attention": {"rope_type": "linear", "factor": 8.0}}' "rope_parameters of type 'linear'"
other hidden_act '"gelu"' "says hidden_act = \"gelu\", and the config section of this model \"silu\""
sed -i '/^  "rope_theta":/d' llama/step-00000001/config.json
other rope_parameters '{"rope_type": "default", "rope_theta": 20000.0}' 'says rope_theta = 20000' --rope-theta 10000
with_key rope_scaling null
expect 0 'checkpoint started/' "${start[@]}"
with_key max_position_embeddings 4096
expect 0 'checkpoint started/' "${start[@]}"
printf '{' >other/config.json
expect 1 "'other/config.json' cannot be read" "${start[@]}"
exit $failed
