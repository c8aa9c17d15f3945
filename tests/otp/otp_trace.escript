#!/usr/bin/env escript
%% -*- erlang -*-
%%! +S 1
%% What OTP's own `supervisor` does with given traces, as text; see traces.py for the notation. Every operation of the
%% supervisor is a call to the process that plays the trace: a start from inside the supervisor, a stop from the child
%% that is told to shut down. So their order is certain, and an operation can be kept waiting.
%%
%% Traces are played at the same time, as many as the argument says, for some of them wait.
-module(otp_trace).
-mode(compile).
-export([main/1, init/1]).

main([Parallel]) ->
    logger:set_primary_config(level, none),
    process_flag(trap_exit, true),
    Lines = lines([]),
    play_all(Lines, list_to_integer(Parallel)).

lines(Acc) ->
    case io:get_line("") of
        eof -> lists:reverse(Acc);
        Line -> lines([Line | Acc])
    end.

play_all([], _) -> ok;
play_all(Lines, N) ->
    {Now, Later} = lists:split(min(N, length(Lines)), Lines),
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), play(Line)} end) || Line <- Now],
    [receive
         {Pid, Text} -> io:put_chars([Text, "\n"]);
         {'EXIT', Pid, Why} when Why =/= normal -> io:put_chars(io_lib:format("PLAYER DIED ~p~n", [Why]))
     end || Pid <- Pids],
    play_all(Later, N).

%% ---- the player ----

-record(t, {stubborn = [], sup, parent, alive = #{}, failing = #{}, out = [], ended = false, hold = false, held = none}).

play(Line) ->
    [_, Strategy, Intensity, Period, Auto, Kids | Events0] = string:lexemes(Line, " \n"),
    Player = self(),
    Flags = #{strategy => list_to_atom(Strategy), intensity => list_to_integer(Intensity),
              period => list_to_integer(Period), auto_shutdown => list_to_atom(Auto)},
    Specs = specs(Kids, 0, Player),
    T0 = #t{stubborn = [I || #{id := I, shutdown := 200} <- Specs]},
    {T1, Events} = case Events0 of
                       ["f" ++ _ = First | Rest] -> {event(First, T0), Rest};
                       _ -> {T0, Events0}
                   end,
    Parent = spawn_link(fun() -> parent(Player, Flags, Specs) end),
    T2 = settle(T1#t{parent = Parent}),
    T = lists:foldl(fun event/2, T2, Events),
    case T#t.ended of
        false -> Parent ! stop_quietly;
        true -> ok
    end,
    unlink(Parent),
    exit(Parent, kill),
    lists:append(lists:reverse(T#t.out)).

specs("", _, _) -> [];
specs([R | Rest], I, Player) ->
    {Marks, More} = lists:splitwith(fun(C) -> lists:member(C, "*!~^") end, Rest),
    Shutdown = case Marks -- "*" of "" -> 600000; "!" -> brutal_kill; "~" -> infinity; "^" -> 200 end,
    [#{id => I, start => {erlang, apply, [fun start_child/2, [I, Player]]}, shutdown => Shutdown,
       restart => case R of $p -> permanent; $t -> transient; $e -> temporary end,
       significant => lists:member($*, Marks)} | specs(More, I + 1, Player)].

parent(Player, Flags, Specs) ->
    process_flag(trap_exit, true),
    case supervisor:start_link(?MODULE, {Flags, Specs}) of
        {ok, Sup} -> parent_loop(Player, Sup);
        {error, {shutdown, {failed_to_start_child, _, _}}} -> Player ! {ended, "!abnormal"}
    end.

parent_loop(Player, Sup) ->
    receive
        {'EXIT', Sup, shutdown} -> Player ! {ended, "!"};
        {'EXIT', Sup, Why} -> Player ! {ended, io_lib:format("!~p", [Why])};
        stop -> exit(Sup, shutdown), Player ! told, parent_loop(Player, Sup);
        stop_quietly -> exit(Sup, kill)
    end.

init({Flags, Specs}) -> {ok, {Flags, Specs}}.

%% In the supervisor.
start_child(I, Player) ->
    case call(Player, {start, I, self()}) of
        ok ->
            Sup = self(),
            Pid = spawn_link(fun() -> process_flag(trap_exit, true), Sup ! {up, self()}, child(I, Player) end),
            receive {up, Pid} -> ok end,
            Player ! {is_alive, I, Pid},
            {ok, Pid};
        fail -> {error, told_to}
    end.

call(Player, What) ->
    Player ! {call, self(), What},
    receive {answer, Player, A} -> A end.

child(I, Player) ->
    receive
        {die, Why} -> exit(Why);
        {'EXIT', _, shutdown} -> call(Player, {stop, I}), exit(shutdown)
    end.

say(Text, T) -> T#t{out = [Text | T#t.out]}.

%% ---- operations ----

operation(From, What, T0 = #t{hold = Hold}) ->
    T = case What of
            {start, I, Sup} -> say([$+, $a + I], T0#t{sup = Sup});
            {stop, I} -> say([$-, $a + I], T0)
        end,
    case Hold of
        true -> T#t{hold = false, held = {From, What}};
        false -> answer(From, What, T)
    end.

answer(From, {start, I, _}, T = #t{failing = F}) ->
    case maps:get(I, F, 0) of
        0 ->
            From ! {answer, self(), ok},
            receive {is_alive, I, Pid} -> monitor(process, Pid), T#t{alive = (T#t.alive)#{I => Pid}} end;
        N ->
            From ! {answer, self(), fail},
            T#t{failing = F#{I => N - 1}}
    end;
answer(From, {stop, I}, T) ->
    case lists:member(I, T#t.stubborn) of
        true -> T;
        false ->
            From ! {answer, self(), ok},
            T#t{alive = maps:remove(I, T#t.alive)}
    end.

%% Until the supervisor has nothing to do: it answers, and no child is to be tried again; or it has come to an operation
%% that is held; or it has ended.
settle(T = #t{ended = true}) -> T;
settle(T = #t{held = {_, _}}) -> T;
settle(T = #t{sup = undefined}) -> settle_some(T, none);
settle(T = #t{sup = Sup}) ->
    Ref = make_ref(),
    Sup ! {'$gen_call', {self(), Ref}, which_children},
    settle_some(T, Ref).

settle_some(T, Ref) ->
    receive
        {call, From, What} ->
            case operation(From, What, T) of
                T2 = #t{held = {_, _}} -> T2;
                T2 when Ref =:= none -> settle(T2);
                T2 -> settle_some(T2, Ref)
            end;
        {'DOWN', _, process, Pid, killed} -> settle_some(killed(Pid, T), Ref);
        {ended, How} -> say(How, T#t{ended = true});
        {Ref, Children} ->
            case lists:keymember(restarting, 2, Children) of
                true -> settle(T);
                false -> T
            end
    end.

%% By the supervisor, unless we did it ourselves.
killed(Pid, T = #t{alive = Alive}) ->
    case [I || {I, P} <- maps:to_list(Alive), P =:= Pid] of
        [I] -> say([$k, $a + I], T#t{alive = maps:remove(I, Alive)});
        [] -> T
    end.

%% ---- events ----

event(E, T0) ->
    T = say(" ", T0),
    case E of
        "f" ++ [C | N] -> T#t{failing = (T#t.failing)#{C - $0 => list_to_integer(N)}};
        "w" -> timer:sleep(2600), T;
        "h" ++ List -> together(string:lexemes(List, ","), T);
        "x" ++ One -> settle(happen(One, T));
        "S" -> settle(happen(E, T))
    end.

together(List, T0) ->
    T = lists:foldl(fun(One, T) -> settle(happen(One, T)) end, T0#t{hold = true}, List),
    case T of
        #t{held = none} -> T#t{hold = false};
        #t{held = {From, What}} -> settle(answer(From, What, T#t{hold = false, held = none}))
    end.

happen(_, T = #t{ended = true}) -> T;
happen("S", T = #t{parent = Parent}) ->
    Parent ! stop,
    receive told -> T end;
happen([C, Why], T = #t{alive = Alive, held = Held}) ->
    I = C - $0,
    case {Held, maps:find(I, Alive)} of
        {{_, {stop, I}}, _} -> T;
        {_, error} -> T;
        {_, {ok, Pid}} ->
            case Why of
                $n -> Pid ! {die, normal};
                $s -> Pid ! {die, shutdown};
                $a -> Pid ! {die, broken};
                $g -> Pid ! {die, segmentation_fault};
                $z -> exit(Pid, kill); % a hang; that it is noticed is no matter of OTP's
                $k -> exit(Pid, kill)
            end,
            unlinked(T#t.sup, Pid),
            T#t{alive = maps:remove(I, Alive)}
    end.

%% The supervisor has got the exit signal.
unlinked(Sup, Pid) ->
    case process_info(Sup, links) of
        {links, L} ->
            case lists:member(Pid, L) of
                true -> erlang:yield(), unlinked(Sup, Pid);
                false -> ok
            end;
        undefined -> ok
    end.
