"""Several traces at once, each in a place and a process of its own: what a replay does most is wait."""

import multiprocessing

from goldenkit.network import Place


def work(tasks, jobs, carry_out):
    """(task, what `carry_out(place, task)` gave) as they are done, `jobs` at a time; what it raises is raised here."""
    waiting, done = multiprocessing.Queue(), multiprocessing.SimpleQueue()
    crew = [multiprocessing.Process(target=_serve, args=(Place(number), waiting, done, carry_out)) for number in range(jobs)]
    for each in crew:
        each.start()
    try:
        for task in (*tasks, *[None] * jobs):
            waiting.put(task)
        for _ in tasks:
            task, result = done.get()
            if isinstance(result, Exception):
                raise result
            yield task, result
    finally:
        for each in crew:
            each.terminate()
            each.join()


def _serve(place, waiting, done, carry_out):
    while (task := waiting.get()) is not None:
        try:
            done.put((task, carry_out(place, task)))
        except Exception as fault:  # whatever it is, the first process raises it again
            done.put((task, fault))
