import torch

from models.attacks.low_frequency import LowFrequency


def test_pattern_has_the_amplitude_and_no_frequency_above_the_cut_off() -> None:
    attack = LowFrequency(rate=0.1, target=25, amplitude=0.1, frequencies=4)
    change = (attack.stamp(torch.full((1, 3, 32, 32), 0.5)) - 0.5)[0].double()
    torch.testing.assert_close(change.abs().max().item(), 0.1, atol=1e-6, rtol=0)
    # Mirrored, a pattern of cosines is periodic: its Fourier transform is that of the cosines.
    mirrored = torch.cat((change, change.flip(1)), dim=1)
    mirrored = torch.cat((mirrored, mirrored.flip(2)), dim=2)
    energy = torch.fft.rfft2(mirrored).abs().square()
    assert energy[:, :4, :4].sum() > 0.1 * energy.sum()
    energy[:, :4, :4] = energy[:, -3:, :4] = 0
    assert energy.sum() < 1e-6 * change.square().sum() * 64**2
    assert energy[:, 0, 0].sum() == 0


def test_seed_draws_the_pattern() -> None:
    grey = torch.full((1, 3, 32, 32), 0.5)
    first, second = (LowFrequency(rate=0.1, target=25, seed=seed).stamp(grey) for seed in (0, 1))
    assert (first - second).abs().mean() > 0.01
