"""people, roles, how they sign in, what they saw and did, partners' tokens"""

import sqlalchemy as sa
from alembic import op

import infra.db.engine

revision = '0018'
down_revision = '0017'

MOMENT = infra.db.engine.UtcDateTime(timezone=True)


def upgrade() -> None:
    op.create_table('person',
    sa.Column('id', sa.String(length=40), nullable=False),
    sa.Column('name_sealed', sa.LargeBinary(), nullable=False),
    sa.Column('source', sa.String(length=16), nullable=False),
    sa.Column('made_at', MOMENT, nullable=False),
    sa.Column('made_by', sa.String(length=80), nullable=False),
    sa.Column('ended_at', MOMENT, nullable=True),
    sa.Column('ended_by', sa.String(length=80), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_person'))
    )
    op.create_table('role_grant',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('person', sa.String(length=40), nullable=False),
    sa.Column('role', sa.String(length=24), nullable=False),
    sa.Column('place', sa.String(length=40), nullable=False),
    sa.Column('granted_at', MOMENT, nullable=False),
    sa.Column('granted_by', sa.String(length=80), nullable=False),
    sa.Column('ended_at', MOMENT, nullable=True),
    sa.Column('ended_by', sa.String(length=80), nullable=False),
    sa.ForeignKeyConstraint(['person'], ['person.id'], name=op.f('fk_role_grant_person')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_role_grant'))
    )
    op.create_index(op.f('ix_role_grant_person'), 'role_grant', ['person'], unique=False)
    op.create_table('credential',
    sa.Column('person', sa.String(length=40), nullable=False),
    sa.Column('password', sa.String(length=200), nullable=False),
    sa.Column('changed_at', MOMENT, nullable=True),
    sa.Column('totp_sealed', sa.LargeBinary(), nullable=True),
    sa.Column('totp_step', sa.Integer(), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('locked_until', MOMENT, nullable=True),
    sa.Column('subject', sa.String(length=200), nullable=True),
    sa.ForeignKeyConstraint(['person'], ['person.id'], name=op.f('fk_credential_person')),
    sa.PrimaryKeyConstraint('person', name=op.f('pk_credential')),
    sa.UniqueConstraint('subject', name=op.f('uq_credential_subject'))
    )
    op.create_table('recovery_code',
    sa.Column('mark', sa.String(length=64), nullable=False),
    sa.Column('person', sa.String(length=40), nullable=False),
    sa.Column('used_at', MOMENT, nullable=True),
    sa.ForeignKeyConstraint(['person'], ['person.id'], name=op.f('fk_recovery_code_person')),
    sa.PrimaryKeyConstraint('mark', name=op.f('pk_recovery_code'))
    )
    op.create_index(op.f('ix_recovery_code_person'), 'recovery_code', ['person'], unique=False)
    op.create_table('enrolment',
    sa.Column('mark', sa.String(length=64), nullable=False),
    sa.Column('person', sa.String(length=40), nullable=False),
    sa.Column('totp_sealed', sa.LargeBinary(), nullable=False),
    sa.Column('made_at', MOMENT, nullable=False),
    sa.Column('made_by', sa.String(length=80), nullable=False),
    sa.Column('until', MOMENT, nullable=False),
    sa.Column('used_at', MOMENT, nullable=True),
    sa.ForeignKeyConstraint(['person'], ['person.id'], name=op.f('fk_enrolment_person')),
    sa.PrimaryKeyConstraint('mark', name=op.f('pk_enrolment'))
    )
    op.create_index(op.f('ix_enrolment_person'), 'enrolment', ['person'], unique=False)
    # Nullable, or with a default: a gateway of the release before still signs people in while this one is rolled out.
    op.add_column('sign_in', sa.Column('begun_at', MOMENT, nullable=True))
    op.add_column('sign_in', sa.Column('seen_at', MOMENT, nullable=True))
    op.add_column('sign_in', sa.Column('method', sa.String(length=16), server_default='token', nullable=False))
    op.create_table('access_log',
    sa.Column('person', sa.String(length=40), nullable=False),
    sa.Column('seq', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('at', sa.String(length=32), nullable=False),
    sa.Column('kind', sa.String(length=8), nullable=False),
    sa.Column('capability', sa.String(length=32), nullable=False),
    sa.Column('prescription_id', sa.String(length=32), nullable=False),
    sa.Column('detail', sa.String(length=80), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('person', 'seq', name=op.f('pk_access_log'))
    )
    op.create_index('ix_access_log_prescription_id_at', 'access_log', ['prescription_id', 'at'], unique=False)
    op.create_index('ix_access_log_at', 'access_log', ['at'], unique=False)
    op.create_table('access_head',
    sa.Column('person', sa.String(length=40), nullable=False),
    sa.Column('seq', sa.Integer(), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('person', name=op.f('pk_access_head'))
    )
    op.create_table('partner_token',
    sa.Column('id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('partner', sa.String(length=40), nullable=False),
    sa.Column('mark', sa.String(length=64), nullable=False),
    sa.Column('source', sa.String(length=16), nullable=False),
    sa.Column('set_at', MOMENT, nullable=False),
    sa.Column('set_by', sa.String(length=80), nullable=False),
    sa.Column('until', MOMENT, nullable=True),
    sa.Column('used_at', MOMENT, nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_partner_token')),
    sa.UniqueConstraint('mark', name=op.f('uq_partner_token_mark'))
    )
    op.create_index(op.f('ix_partner_token_partner'), 'partner_token', ['partner'], unique=False)
    _keep_as_it_is()


def _keep_as_it_is() -> None:
    """The access log refuses to be changed, also by its owner, who must drop the triggers first."""
    if op.get_bind().dialect.name == 'sqlite':
        for crime in ('UPDATE', 'DELETE'):
            op.execute(f"CREATE TRIGGER access_log_no_{crime.lower()} BEFORE {crime} ON access_log "
                       "BEGIN SELECT RAISE(ABORT, 'access_log is append-only'); END")
        return
    op.execute("CREATE FUNCTION access_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
               "$$ BEGIN RAISE EXCEPTION 'access_log is append-only'; END $$")
    op.execute("CREATE TRIGGER access_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON access_log "
               "FOR EACH STATEMENT EXECUTE FUNCTION access_log_is_append_only()")


def downgrade() -> None:
    raise NotImplementedError("restore the backup from before the release")
