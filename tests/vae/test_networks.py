"""Networks map any leading dimensions of flat items, whatever the size of the picture."""

import math

import pytest
import torch

from hotgrad.vae import make_decoder, make_encoder

SHAPES = [(8, 8), (28, 28), (3, 9, 7), (1, 1), (2, 5, 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["linear", "mlp", "conv"])
def test_there_and_back(kind: str, shape: tuple[int, ...], generator: torch.Generator) -> None:
    size = math.prod(shape)
    encoder, decoder = make_encoder(kind, shape, (7, 5), 6), make_decoder(kind, shape, (7, 5), 6)
    x = torch.rand(2, 3, size, generator=generator)
    logits = encoder(x)
    assert logits.shape == (2, 3, 6)
    assert decoder(logits).shape == (2, 3, size)
    # an item's result doesn't depend on its neighbours or on the leading dimensions
    torch.testing.assert_close(encoder(x[1, 2]), logits[1, 2])
    torch.testing.assert_close(decoder(logits[1, 2]), decoder(logits)[1, 2])


@pytest.mark.parametrize("kind", ["linear", "mlp", "conv"])
def test_every_parameter_and_every_pixel_matters(kind: str, generator: torch.Generator) -> None:
    encoder, decoder = make_encoder(kind, (8, 8), (9,), 6), make_decoder(kind, (8, 8), (9,), 6)
    x = torch.rand(4, 64, generator=generator, requires_grad=True)
    decoder(encoder(x)).square().sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0).any(0).all())
    for parameter in (*encoder.parameters(), *decoder.parameters()):
        assert parameter.grad is not None
        assert bool((parameter.grad != 0).any())


def test_hidden_widths_are_mirrored() -> None:
    def widths(network: torch.nn.Module) -> list[tuple[int, int]]:
        layers = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
        return [(layer.in_features, layer.out_features) for layer in layers]

    assert widths(make_encoder("mlp", (8, 8), (20, 10), 6)) == [(64, 20), (20, 10), (10, 6)]
    assert widths(make_decoder("mlp", (8, 8), (20, 10), 6)) == [(6, 10), (10, 20), (20, 64)]
    assert widths(make_encoder("linear", (8, 8), (20, 10), 6)) == [(64, 6)]


@pytest.mark.parametrize("shape", [(64,), (2, 2, 2, 2)])
def test_conv_refuses_what_is_no_picture(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"network=conv needs pictures.*Use network=mlp"):
        make_encoder("conv", shape, (), 6)
    with pytest.raises(ValueError, match="network=conv needs pictures"):
        make_decoder("conv", shape, (), 6)
