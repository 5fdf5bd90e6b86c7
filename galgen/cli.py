"""The command line: data sets, the run store, trainings.

A mistake that a message can explain is printed as one line and the exit code is 2.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from astropy.table import Table

from galgen import costs
from galgen.config import PROFILES, Parameters
from galgen.data.acquire import importing, survey
from galgen.data.acquire.download import Network
from galgen.data.dataset import Dataset, check_free, write_dataset
from galgen.data.manifest import load_manifest
from galgen.data.simulate import images as simulate
from galgen.experiment import every_family, training_named
from galgen.runs.errors import GalgenError
from galgen.runs.files import file_sha256, write_json
from galgen.runs.store import Store

__all__ = ["main"]


def _simulate(args: argparse.Namespace) -> None:
    check_free(args.out)  # before the work
    options = {"seed": args.seed, "size": args.size, "crop": args.crop, "population": args.population}
    images, truth = simulate.simulate(args.count, workers=args.workers, progress=True, **options)
    parameters = {"count": args.count, **options}
    dataset = write_dataset(
        args.out,
        images,
        truth,
        source="simulated",
        manifest="simulated",
        parameters=parameters,
        dropped={},
    )
    _describe(dataset)


def _import(args: argparse.Namespace) -> None:
    check_free(args.out)  # before the work
    found = importing.import_images(
        args.path,
        size=args.size,
        crop=args.crop,
        key=args.key,
        bands=args.bands.split(","),
        kind=args.kind,
        gray=args.gray,
        subtract_sky=args.subtract_sky,
        Q=args.Q,
        stretch=args.stretch,
        distinct=args.distinct,
        strict=args.strict,
        progress=True,
    )
    for name, reason in found.refused:
        print(f"refused {name}: {reason}", file=sys.stderr)
    entry = load_manifest().name_of(file_sha256(args.path)) if args.path.is_file() else "local"
    _describe(importing.write_imported(args.out, found, source=args.path.stem, manifest=entry))


def _fetch(args: argparse.Namespace) -> None:
    source = load_manifest(args.manifest).source(args.source)
    report = survey.fetch(
        args.catalogue,
        args.out,
        template=args.template or source.template,
        bands=source.bands,
        size=source.size,
        pixel_scale=source.pixel_scale,
        network=Network(rate=args.rate),
        workers=args.workers,
        retry_dropped=args.retry_dropped,
    )
    print(json.dumps(report, indent=1))
    if report["failed"]["count"]:
        raise GalgenError(
            f"{report['failed']['count']} objects could not be fetched; run the same command again"
        )


def _describe(dataset: Dataset) -> None:
    meta = dataset.meta
    print(f"{dataset.directory}: {len(dataset)} images of {meta['shape'][2]} x {meta['shape'][3]} pixels")
    print(f"  source   {meta['source']}, made {meta['created']}")
    print(f"  sha256   {dataset.sha256}")
    print(f"  dropped  {meta['dropped'] or 'nothing'}")
    print(f"  columns  {', '.join(dataset.catalogue.colnames)}")


def _info(args: argparse.Namespace) -> None:
    _describe(Dataset.open(args.dataset))


def _verify(args: argparse.Namespace) -> None:
    Dataset.open(args.dataset).verify()
    print(f"{args.dataset}: both files are what was written")


def _parameters(args: argparse.Namespace) -> Parameters:
    return Parameters.checked(profile=args.profile, data=args.data, N=args.N, seed=args.seed)


def _prepare(args: argparse.Namespace) -> None:
    experiments = every_family(_parameters(args), Store(args.store))
    experiment = experiments["unet"]  # the data are the same for all
    found = {}
    for role in ("dataset", "control_dataset"):
        dataset = getattr(experiment, role)
        found[role] = {"path": str(dataset.directory), "images": len(dataset), "sha256": dataset.sha256}
    sets = experiment.split()  # fails here, before anything is trained, when there are too few images
    found["split"] = {name: len(rows) for name, rows in vars(sets).items()}
    costs.check(experiment.store.root, [r for each in experiments.values() for r in each.to_train()])
    if args.out:
        write_json(args.out, found)
    print(json.dumps(found, indent=1))


def _plan(args: argparse.Namespace) -> None:
    for experiment in every_family(_parameters(args), Store(args.store)).values():
        for record in experiment.plan():
            print(json.dumps(record))


def _train(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    experiment, training = training_named(args.name, _parameters(args), Store(args.store))
    costs.check(experiment.store.root, experiment.to_train([training]))
    run = experiment.train(training)
    if args.out:
        write_json(args.out, {"name": args.name, "key": run.key, **run.summary})
    print(f"{args.name}: {run.path}")


def _sweep(args: argparse.Namespace) -> int:
    from galgen import sweep  # imports notebooks' libraries, for which no training need wait two seconds

    parameters = Parameters.checked(profile=args.profile, data=args.data, seed=args.seed)
    return sweep.sweep(args.N, parameters, cores=args.cores, store=Store(args.store))


def _runs_list(args: argparse.Namespace) -> None:
    runs = Store(args.store).runs(args.kind)
    if runs:
        rows = [
            (r.key, r.record["kind"], r.record["created"][:19], r.record["seconds"], r.record["commit"])
            for r in runs
        ]
        Table(rows=rows, names=("key", "kind", "created", "seconds", "commit")).pprint(
            max_lines=-1, max_width=-1
        )
    else:
        print(f"no runs in {Store(args.store).root}")


def _runs_show(args: argparse.Namespace) -> None:
    run = Store(args.store).get(args.key)
    print(json.dumps(run.record | {"path": str(run.path)}, indent=1))


def _runs_rm(args: argparse.Namespace) -> None:
    store = Store(args.store)
    for key in args.keys:
        store.get(key)  # all of them exist before the first one goes
    for key in args.keys:
        print(f"removed {store.remove(key).path}")


def _option(*flags: str, **options: object) -> tuple[tuple[str, ...], dict]:
    return flags, options


def _action(group: argparse._SubParsersAction, name: str, function: Callable, text: str, *arguments) -> None:
    sub = group.add_parser(name, help=text, description=text)
    for flags, options in arguments:
        sub.add_argument(*flags, **options)
    sub.set_defaults(function=function)


def _add_data_commands(actions: argparse._SubParsersAction) -> None:
    out = _option("--out", type=Path, required=True, help="folder to make")
    size = _option("--size", type=int, default=32, help="side of the images, pixels (default 32)")

    _action(
        actions,
        "simulate",
        _simulate,
        "simulate galaxies as the Legacy Survey sees the SDSS main sample",
        out,
        size,
        _option("--count", type=int, default=1000),
        _option("--crop", type=int, default=64, help="side of the field drawn, pixels of 0.262 arcsec"),
        _option("--seed", type=int, default=0),
        _option("--population", default="main", help="main, or ellipticals"),
        _option("--workers", type=int, default=1, help="processes"),
    )
    _action(
        actions,
        "fetch",
        _fetch,
        "download survey cut-outs for a catalogue of positions; stops and resumes",
        _option("catalogue", type=Path, help="table with columns id, ra, dec (CSV, ECSV or FITS)"),
        out,
        _option("--source", default="sdss-legacy", help="entry of the data manifest"),
        _option("--manifest", type=Path, help="another data_manifest.yaml"),
        _option("--template", help="another address, with {ra} {dec} {bands} {size} {pixscale}"),
        _option("--rate", type=float, default=5.0, help="requests a second, at most"),
        _option("--workers", type=int, default=4, help="connections"),
        _option("--retry-dropped", action="store_true", help="ask again for what was ruled out for good"),
    )
    _action(
        actions,
        "import",
        _import,
        "import your own images: a folder, or an npz, npy or HDF5 file",
        _option("path", type=Path),
        out,
        size,
        _option("--crop", type=int, help="side of the central part to keep, pixels"),
        _option("--key", help="name of the array in an npz or HDF5 file"),
        _option("--bands", default="g,r,z", help="bands of FITS or flux images, blue to red (default g,r,z)"),
        _option(
            "--kind", choices=("auto", "flux", "display"), default="auto", help="what the pixel values are"
        ),
        _option("--gray", action="store_true", help="make colour images gray"),
        _option(
            "--subtract-sky", action="store_true", help="take the median of the border off each band of flux"
        ),
        _option("--Q", type=float, default=8.0, help="softening of the stretch of flux"),
        _option("--stretch", type=float, default=0.2, help="scale of the stretch, for nanomaggies a pixel"),
        _option("--strict", action="store_true", help="one refused object is an error"),
        _option(
            "--distinct", type=float, metavar="COSINE", help="keep one of images that are that near (0.95)"
        ),
    )
    for name, function, text in (
        ("info", _info, "what a data set holds"),
        ("verify", _verify, "compare a data set with its checksums"),
    ):
        _action(actions, name, function, text, _option("dataset", type=Path))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="galgen", description="Two generative models, disjoint data, same latents."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    data = commands.add_parser("data", help="make, fetch, import and check data sets")
    actions = data.add_subparsers(required=True, metavar="ACTION")
    _add_data_commands(actions)

    store = _option("--store", help="the run store (default: $GALGEN_STORE, or store/ in the project)")
    runs = commands.add_parser("runs", help="look at the run store").add_subparsers(
        required=True, metavar="ACTION"
    )
    _action(runs, "list", _runs_list, "all runs", _option("--kind"), store)
    _action(
        runs,
        "show",
        _runs_show,
        "the record of a run",
        _option("key", help="its key, or the first digits"),
        store,
    )
    _action(runs, "rm", _runs_rm, "delete runs", _option("keys", nargs="+", metavar="key"), store)

    source = (
        _option(
            "--profile",
            default="laptop",
            help="; ".join(f"{name}: {p.purpose}" for name, p in PROFILES.items()),
        ),
        _option("--data", default="simulated", help="simulated, or the path of images or of a data set"),
        _option("--seed", type=int, default=0),
        store,
    )
    experiment = (
        *source,
        _option(
            "--N", type=int, nargs="+", help="training images of each model (default: those of the profile)"
        ),
    )
    stamp = _option("--out", type=Path, help="also write the outcome to this JSON file")
    _action(
        actions, "prepare", _prepare, "get the data of an experiment into the run store", *experiment, stamp
    )
    _action(commands, "plan", _plan, "the trainings an experiment needs, and what they cost", *experiment)
    _action(
        commands,
        "train",
        _train,
        "train one model of the plan; resumes where it was interrupted",
        _option("name", help="as `galgen plan` prints it"),
        _option("--threads", type=int, default=1, help="threads (two models at a time beat one with two)"),
        *experiment,
        stamp,
    )
    _action(
        commands,
        "sweep",
        _sweep,
        "a book for each N, then one of all N with a page that lists the runs; goes on where it stopped",
        _option("--N", type=int, nargs="+", required=True, help="training images of each model"),
        *source,
        _option("--cores", type=int, default=2, help="jobs at a time"),
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        return args.function(args) or 0
    except GalgenError as error:
        print(f"galgen: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("galgen: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
