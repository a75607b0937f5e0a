"""The loss and the detections of YOLOv8 in PyTorch, as those of library/object_detection here.

They are the other side of the benchmark `dense`. This file can be imported where PyTorch is not
installed.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from library.object_detection.task_aligned import Settings

_EPSILON, _TINY = 1e-9, 1e-7


class Points(NamedTuple):
    """What p points of all maps predict, for a batch.

    Attributes:
      places: (p, 2), y and x in pixels.
      strides: (p, 1), pixels between points of a map.
      distances: (b, p, 4, bins), logits of the distances, in strides.
      classes: (b, p, c), logits of the classes.
    """

    places: Any
    strides: Any
    distances: Any
    classes: Any

    def boxes(self) -> Any:
        """Returns the predicted boxes (b, p, 4) in pixels."""
        import torch

        bins = torch.arange(self.distances.shape[-1], device=self.distances.device)
        reach = (self.distances.softmax(-1) * bins).sum(-1) * self.strides
        return torch.cat([self.places - reach[..., :2], self.places + reach[..., 2:]], dim=-1)


class Objects(NamedTuple):
    """The objects of a batch, padded to n.

    Attributes:
      boxes: (b, n, 4), ymin, xmin, ymax and xmax in pixels.
      classes: (b, n), the numbers of the classes.
      there: (b, n), False on padding.
    """

    boxes: Any
    classes: Any
    there: Any


def points(maps: Sequence[Any], bins: int, height: int) -> Points:
    """Joins the maps (b, 4 bins + c, rows, columns) for images of a height in pixels."""
    import torch

    places, strides, flat = [], [], []
    for each in maps:
        rows, columns = each.shape[2:]
        axes = [torch.arange(n, device=each.device) + 0.5 for n in (rows, columns)]
        grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 2)
        places.append(grid * (height / rows))
        strides.append(torch.full((rows * columns, 1), height / rows, device=each.device))
        flat.append(each.flatten(2).transpose(1, 2))
    whole = torch.cat(flat, dim=1)
    distances = whole[..., : 4 * bins].unflatten(-1, (4, bins))
    return Points(torch.cat(places), torch.cat(strides), distances, whole[..., 4 * bins :])


def loss(found: Points, objects: Objects, settings: Settings) -> Any:
    """Returns the loss of a batch: its sum over the images by the sum of the scores to learn."""
    import torch
    from torch.nn import functional

    boxes = found.boxes()
    there, number, scores = _assigned(found, boxes.detach(), objects, settings)
    own = objects.boxes.gather(1, number[..., None].expand(-1, -1, 4))
    own = torch.where(there[..., None], own, boxes.detach())
    kinds = functional.one_hot(objects.classes.gather(1, number), found.classes.shape[-1])
    cross_entropy = functional.binary_cross_entropy_with_logits(
        found.classes, kinds * scores[..., None], reduction="sum"
    )
    misplaced = scores * (1 - _complete_overlap(boxes, own))
    reach = torch.cat([found.places - own[..., :2], own[..., 2:] - found.places], dim=-1)
    spread = _distribution_losses(found.distances, reach / found.strides).mean(-1)
    total = settings.box * torch.where(there, misplaced, 0).sum()
    total = total + settings.classes * cross_entropy
    total = total + settings.distances * (scores * spread).sum()
    return total / scores.sum(1).clamp(min=1 / 16).sum()


def detections(
    found: Points, sides: tuple[int, int], *, num: int, least: float, overlap: float, most: int
) -> list[Any]:
    """Returns the rows (k, 6) of each image, as the detections here.

    Args:
      found: what the points predict.
      sides: height and width of the images in pixels.
      num: the most detections of an image.
      least: the least confidence of a detection.
      overlap: intersection over union above which the one with less confidence is dropped.
      most: the most candidates that are compared.
    """
    import torch
    from torchvision.ops import batched_nms

    whole = torch.tensor([*sides, *sides], device=found.places.device)
    boxes, scores = (found.boxes() / whole).clamp(0, 1), found.classes.sigmoid()
    rows = []
    for ours, sure in zip(boxes, scores, strict=True):
        values, place = sure.flatten().topk(min(most, sure.numel()))
        values, place = values[values >= least], place[values >= least]
        chosen, classes = ours[place // sure.shape[1]], place % sure.shape[1]
        kept = batched_nms(chosen, values, classes, overlap)[:num]
        rows.append(torch.cat([chosen[kept], values[kept, None], classes[kept, None]], dim=1))
    return rows


def _assigned(
    found: Points, boxes: Any, objects: Objects, settings: Settings
) -> tuple[Any, Any, Any]:
    """Returns whether each point (b, p) learns an object, its number, and the score to learn."""
    import torch

    truth = objects.boxes[:, :, None]
    reach = torch.cat([found.places - truth[..., :2], truth[..., 2:] - found.places], dim=-1)
    inside = (reach.amin(-1) > _EPSILON) & objects.there[..., None]
    shared = _complete_overlap(truth, boxes[:, None]).clamp(min=0) * inside
    scores = found.classes.detach().sigmoid().transpose(1, 2)
    chance = scores.gather(1, objects.classes[..., None].expand_as(inside)) * inside
    aligned = chance**settings.alpha * shared**settings.beta
    best = aligned.topk(min(settings.top_k, aligned.shape[-1]), dim=-1).indices
    taught = torch.zeros_like(inside).scatter(-1, best, True) & inside
    several = taught.sum(1, keepdim=True) > 1
    numbers = torch.arange(truth.shape[1], device=boxes.device)[:, None]
    closest = (shared.argmax(1, keepdim=True) == numbers) & inside
    taught = torch.where(several, closest, taught)
    aligned, shared = aligned * taught, shared * taught
    most = aligned.amax(-1, keepdim=True)
    learned = aligned * shared.amax(-1, keepdim=True) / (most + _EPSILON)
    return taught.any(1), taught.int().argmax(1), learned.amax(1)


def _complete_overlap(ours: Any, theirs: Any) -> Any:
    """Returns the complete IoU of boxes (..., 4) in pixels, pair by pair."""
    import torch

    def areas(boxes: Any) -> Any:
        return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)

    def angle(boxes: Any) -> Any:
        height, width = (boxes[..., 2:] - boxes[..., :2]).unbind(-1)
        return torch.atan(width / (height + _TINY))

    low = torch.maximum(ours[..., :2], theirs[..., :2])
    high = torch.minimum(ours[..., 2:], theirs[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = areas(ours) + areas(theirs) - shared
    shared = torch.where(union > 0, shared / torch.where(union > 0, union, 1), 0)
    low = torch.minimum(ours[..., :2], theirs[..., :2])
    high = torch.maximum(ours[..., 2:], theirs[..., 2:])
    diagonal = (high - low).square().sum(-1) + _TINY
    apart = (ours[..., :2] + ours[..., 2:] - theirs[..., :2] - theirs[..., 2:]) / 2
    turn = 4 / math.pi**2 * (angle(ours) - angle(theirs)).square()
    weight = (turn / (turn - shared + 1 + _TINY)).detach()
    return shared - apart.square().sum(-1) / diagonal - weight * turn


def _distribution_losses(logits: Any, wanted: Any) -> Any:
    """Returns the cross-entropy (b, p, 4) with the whole numbers around each wanted distance."""
    wanted = wanted.clamp(0, logits.shape[-1] - 1 - 0.01)
    low = wanted.floor()
    logs = logits.log_softmax(-1)
    below, above = (logs.gather(-1, (low + i).long()[..., None])[..., 0] for i in (0, 1))
    return -((1 - wanted + low) * below + (wanted - low) * above)
