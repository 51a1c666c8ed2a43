"""`phalanx gestures`: names for the poses of hands, learnt from a user's own pictures."""

import argparse

from phalanx.cli.common import (
    Parser,
    Verbs,
    add_device,
    add_quiet,
    add_verb,
    add_weights,
    box,
    complain,
    progress_bar,
    sayer,
)

_TRAIN = """\
Looks for the hand in each picture and learns which finger angles are which gesture (Dibra et al. 2018). Ten to thirty pictures a gesture
do; several people and views make it better. Left and right hands count as the same.

  FOLDER/fist/a.jpg, b.png, ...      pictures of a gesture, in a subfolder of its name
  FOLDER/open/...                    two gestures or more
  FOLDER/none/...                    if you have some: hands that show none of them

It prints how often hands that were held out get the right name, what is taken for what, and the pictures in which no hand was found;
--json writes the same. Where a hand is not surely one of the gestures its name is none: the threshold is set so that at most 2 % of the
held-out hands that get a name get a wrong one. Pictures that cannot be read are named and skipped (exit code 2). The same pictures and
seed give the same file. More stands in docs/gestures.md.

examples:
  phalanx gestures train signs/ --out signs.onnx
  phalanx predict photo.jpg --gestures signs.onnx
  phalanx live --gestures signs.onnx
  phalanx gestures train thumbs/ --out thumbs.onnx --palm          # thumb up and thumb down: it matters where the hand points
  phalanx gestures train crops/ --out crops.onnx --box whole       # hands fill the pictures
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "gestures", "teach names for poses of hands, from pictures in folders")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    train = add_verb(actions, "train", "learn gestures from a folder with a subfolder for each", _TRAIN, job)
    train.add_argument("folder", metavar="FOLDER", help="has a subfolder of pictures for each gesture")
    train.add_argument("--out", required=True, metavar="MODEL", help="the file to write; .onnx is added to its name")
    train.add_argument(
        "--box",
        type=box,
        metavar="X,Y,W,H",
        help="where the hand is in all pictures, in pixels, or the word whole for the whole picture (default: it is found)",
    )
    train.add_argument(
        "--palm", action="store_true", help="gestures also differ in where the hand points, as thumb up and thumb down"
    )
    train.add_argument(
        "--persons",
        metavar="FILE",
        help="CSV with columns photo (path in FOLDER) and person: accuracy is then that for people it has not seen",
    )
    train.add_argument("--seed", type=int, default=0, help="of folds and training (default: 0)")
    train.add_argument("--json", metavar="FILE", help="also write the figures and what was left out to one file")
    add_weights(train)
    add_device(train)
    add_quiet(train)


def job(args: argparse.Namespace) -> int:
    """Train and write; 2 if pictures could not be read."""
    from phalanx.predict.inputs import check_options
    from phalanx.predict.predictor import Predictor
    from phalanx.train.gestures import train_gestures

    check_options(args.box, None, "auto", None)
    with progress_bar(args.quiet) as progress:
        report = train_gestures(
            args.folder,
            args.out,
            args.persons,
            args.box,
            args.palm,
            args.seed,
            Predictor(args.weights, args.device),
            say=sayer(args.quiet),
            complain=complain,
            progress=progress,
            json_path=args.json,
        )
    return 2 if report["skipped"] else 0
