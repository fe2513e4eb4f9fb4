"""Families of timm, the smallest member of each. Needs `pip install timm`."""

from functools import partial
from pathlib import Path

import torch

from benchmarks.zoo.cases import Case
from benchmarks.zoo.torch_models import enlivened, export

NAMES = (
    "beit_base_patch16_224", "cait_xxs24_224", "coat_tiny", "coatnet_nano_rw_224",
    "convmixer_768_32", "convnextv2_atto", "crossvit_tiny_240", "cspdarknet53", "cspresnet50",
    "deit3_small_patch16_224", "deit_tiny_distilled_patch16_224", "dla34", "dm_nfnet_f0",
    "dpn48b", "edgenext_xx_small", "efficientformer_l1", "efficientnet_lite0",
    "efficientvit_b0", "eva02_tiny_patch14_224", "fastvit_t8", "fbnetc_100",
    "focalnet_tiny_srf", "gcresnet33ts", "gernet_s", "ghostnet_100", "gmlp_s16_224",
    "hardcorenas_a", "hgnetv2_b0", "hrnet_w18_small", "inception_next_atto",
    "inception_resnet_v2", "inception_v4", "lambda_resnet26t", "lcnet_050", "levit_128s",
    "maxvit_nano_rw_256", "mixer_s16_224", "mixnet_s", "mobilenetv3_small_050",
    "mobilenetv4_conv_small", "mobileone_s0", "mobilevit_xxs", "mobilevitv2_050", "mvitv2_tiny",
    "nest_tiny", "nf_regnet_b0", "pit_ti_224", "poolformer_s12", "pvt_v2_b0", "regnetz_b16",
    "repvgg_a0", "repvit_m1", "res2net50_14w_8s", "resmlp_12_224", "resnest14d", "resnetv2_50",
    "rexnet_100", "selecsls42", "seresnet18", "sequencer2d_s", "skresnet18",
    "swin_tiny_patch4_window7_224", "swinv2_cr_tiny_ns_224", "tf_efficientnetv2_b0",
    "tinynet_e", "tiny_vit_5m_224", "tnt_s_patch16_224", "tresnet_m", "twins_pcpvt_small",
    "vit_small_patch32_224", "vit_tiny_r_s16_p8_224", "vgg11", "visformer_tiny", "volo_d1_224",
    "vovnet39a", "wide_resnet50_2", "xception41", "xcit_nano_12_p16_224",
)  # fmt: skip
_CLASSES = 10


def cases() -> list[Case]:
    """One case a family, through TorchScript, which all of them pass."""
    return [Case("timm, script", name, partial(_write, name)) for name in NAMES]


def _write(name: str, path: Path) -> int | None:
    import timm  # noqa: PLC0415  no dependency of the project

    torch.manual_seed(0)
    module = timm.create_model(name, pretrained=False, num_classes=_CLASSES, exportable=True)
    channels, height, width = getattr(module, "pretrained_cfg")["input_size"]  # noqa: B009
    image = (channels, height, width)
    export(enlivened(module, image), image, path, dynamo=False)
    return None
