"""What transformers leaves to the training of a DeepSeek-V3: the router's bias, the balance within sequences, and the
losses of the layers that predict the tokens after the next one (transformers has those layers for drafting)."""
import torch
from transformers.modeling_layers import MtpModel
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3ForCausalLM, DeepseekV3TopkRouter


def ahead(config):
    return config.num_nextn_predict_layers


def layers_ahead(config):  # after the last
    return [f"model.layers.{config.num_hidden_layers + k}." for k in range(ahead(config))]


def is_extra(name, config):
    return name.startswith(tuple(layers_ahead(config)))


def before_load(config):
    """Loading the model passes over those layers, whose numbers transformers has only for the published size."""
    DeepseekV3ForCausalLM._keys_to_ignore_on_load_unexpected = [at.replace(".", r"\.") + ".*" for at in layers_ahead(config)]


class Training:
    def __init__(self, model):
        self.config, self.ahead = model.config, MtpModel.from_pretrained(model)
        self.parameters = list(self.ahead.layers.parameters())
        self.routers = [m for part in (model, self.ahead) for m in part.modules() if isinstance(m, DeepseekV3TopkRouter)]
        for router in self.routers:
            router.register_forward_hook(lambda module, _, out: setattr(module, "seen", out))
        model.model.register_forward_hook(lambda module, _, out: setattr(self, "last", out.last_hidden_state))

    def loss(self, tokens, targets, later):
        """To be added to that of the model's own logits, after they are computed. later: [batch, seq + layers ahead - 1]"""
        batch, length = tokens.shape
        places = torch.arange(length)[None]
        loss, h, given = 0, self.last, targets
        for k in range(ahead(self.config)):
            h = self.ahead.forward_layer(k, h, places, None, input_ids=given)
            given = later[:, k:k + length]
            miss = torch.nn.functional.cross_entropy(self.ahead.shared_head(h).flatten(0, 1), given.flatten())
            loss = loss + self.config.mtp_loss_weight / ahead(self.config) * miss
        for router in self.routers:
            scores = router.seen[0].sigmoid().view(batch, length, -1)
            chosen = torch.nn.functional.one_hot(router.seen[2].view(batch, -1), scores.shape[-1]).float()
            share = (scores / scores.sum(-1, keepdim=True)).mean(1)
            loss = loss + self.config.aux_loss_alpha * scores.shape[-1] * (chosen.mean(1) * share).sum(-1).mean()
        return loss

    def after_step(self):
        with torch.no_grad():
            for router in self.routers:
                counts = torch.bincount(router.seen[2].flatten(), minlength=router.num_experts).float()
                router.e_score_correction_bias += self.config.bias_update_speed * torch.sign(counts.mean() - counts)
