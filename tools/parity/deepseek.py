"""What transformers leaves to the training of a DeepSeek-V3: the router's bias, the balance within sequences, and the
loss of the layer that predicts the second next token (transformers has that layer for drafting)."""
import torch
from transformers.modeling_layers import MtpModel
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3ForCausalLM, DeepseekV3TopkRouter


AHEAD = 1


def layer_ahead(config):  # of the second next token: after the last
    return f"model.layers.{config.num_hidden_layers}."


def is_extra(name, config):
    return name.startswith(layer_ahead(config))


def before_load(config):
    """Loading the model passes over that layer, whose number transformers has only for the published size."""
    DeepseekV3ForCausalLM._keys_to_ignore_on_load_unexpected = [layer_ahead(config).replace(".", r"\.") + ".*"]


class Training:
    def __init__(self, model):
        self.config, self.ahead = model.config, MtpModel.from_pretrained(model)
        self.parameters = list(self.ahead.layers.parameters())
        self.routers = [m for part in (model, self.ahead) for m in part.modules() if isinstance(m, DeepseekV3TopkRouter)]
        for router in self.routers:
            router.register_forward_hook(lambda module, _, out: setattr(module, "seen", out))
        model.model.register_forward_hook(lambda module, _, out: setattr(self, "last", out.last_hidden_state))

    def loss(self, tokens, targets, later):
        """To be added to that of the model's own logits, after they are computed."""
        batch, length = tokens.shape
        places = torch.arange(length)[None]
        h = self.ahead.forward_layer(0, self.last, places, None, input_ids=targets)
        logits = self.ahead.shared_head(h)
        loss = self.config.mtp_loss_weight * torch.nn.functional.cross_entropy(logits.flatten(0, 1), later.flatten())
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
